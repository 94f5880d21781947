# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validating a repository's own codecov.yml, and showing it as the application will use it.

Private to this collection. Pure: also runs on the controller, inside action plugins.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

from ansible_collections.covstack.selfhosted.plugins.module_utils._config_merge import layer_problem, scalars_of
from ansible_collections.covstack.selfhosted.plugins.module_utils._problems import (
    ERROR,
    WARNING,
    KeyPath,
    Problem,
    format_path,
    show,
)

NAME = "codecov.yml"


class Wrong(ValueError):
    """A value that does not fit; what is wrong, what is allowed, and what to write instead."""

    def __init__(self, message: str, allowed: str, way_out: str) -> None:
        super().__init__(message)
        self.message = message
        self.allowed = allowed
        self.way_out = way_out


# A rule returns the value as the application uses it, or reports what is wrong and returns it as it is.
Report = Callable[[KeyPath, Wrong], None]
Rule = Callable[[Any, KeyPath, Report], Any]


def _simple(convert: Callable[[Any], Any], nullable: bool = False) -> Rule:
    """A rule from a function that returns the converted value or raises Wrong."""

    def rule(value: Any, path: KeyPath, report: Report) -> Any:
        if value is None and nullable:
            return None
        try:
            return convert(value)
        except Wrong as wrong:
            report(path, wrong)
            return value

    return rule


def _text(pattern: str = "", allowed: Sequence[Any] = (), nullable: bool = False, what: str = "text") -> Rule:
    def convert(value: Any) -> Any:
        if allowed:
            return _one_of(value, allowed)
        if not isinstance(value, str):
            raise Wrong(f"is {show(value)}", what, "put it into quotes" if isinstance(value, (int, float)) else f"write {what}")
        if pattern and not re.search(pattern, value):
            raise Wrong(f"is {show(value)}", what, "correct it")
        return value

    return _simple(convert, nullable)


def _one_of(value: Any, allowed: Sequence[Any]) -> Any:
    for choice in allowed:
        if type(choice) is type(value) and choice == value:
            return value
    names = ", ".join(show(choice).strip("'") for choice in allowed)
    near = difflib.get_close_matches(str(value).lower(), [str(choice) for choice in allowed], n=1, cutoff=0.6)
    raise Wrong(f"is {show(value)}", names, f"write {near[0].lower() if near[0] in ('True', 'False') else near[0]}" if near else "choose one of them")


def _flag_of(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"is {show(value)}", "true or false", "write true or false without quotes")
    return value


_flag = _simple(_flag_of)


def _whole(minimum: int | None = None, maximum: int | None = None) -> Rule:
    limits = "" if minimum is None else f" from {minimum}" + ("" if maximum is None else f" to {maximum}")

    def convert(value: Any) -> int:
        good = isinstance(value, int) and not isinstance(value, bool)
        if not good or (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
            raise Wrong(f"is {show(value)}", f"a whole number{limits}", "write such a number without quotes")
        return int(value)

    return _simple(convert)


def _list(element: Rule, nullable: bool = False, what: str = "a list") -> Rule:
    def rule(value: Any, path: KeyPath, report: Report) -> Any:
        if value is None and nullable:
            return None
        if not isinstance(value, list):
            way_out = f"write it as a list: [{show(value)}]" if isinstance(value, str) else "begin each entry with '- '"
            report(path, Wrong(f"is {show(value)}", what, way_out))
            return value
        return [element(item, path + (index,), report) for index, item in enumerate(value)]

    return rule


def _either(*choices: tuple[type, Rule], what: str, nullable: bool = False) -> Rule:
    """The rule whose type the value has."""

    def rule(value: Any, path: KeyPath, report: Report) -> Any:
        if value is None and nullable:
            return None
        for kind, choice in choices:
            if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
                return choice(value, path, report)
        report(path, Wrong(f"is {show(value)}", what, f"write {what}"))
        return value

    return rule


def _keep(value: Any, path: KeyPath, report: Report) -> Any:
    return value


def _section(keys: Mapping[str, Rule], required: Sequence[str] = ()) -> Rule:
    """A mapping with known keys."""

    def rule(value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, Mapping):
            names = ", ".join(list(keys)[:4])
            report(path, Wrong(f"is {show(value)}", f"a mapping with {names}, ...", f"indent the settings below '{path[-1]}:', or remove it"))
            return value
        for name in required:
            if value.get(name) is None:
                report(path + (name,), Wrong("is missing", "text", f"add {name}"))
        result = {}
        for name, element in value.items():
            known = keys.get(name) if isinstance(name, str) else None
            if known is None:
                report(path + (name,), _unknown(name, keys, path))
                result[name] = element
            elif name in required and element is None:
                result[name] = element
            else:
                result[name] = known(element, path + (name,), report)
        return result

    return rule


def _unknown(name: Any, keys: Mapping[str, Rule], path: KeyPath) -> Wrong:
    near = difflib.get_close_matches(str(name).lower().replace("-", "_"), list(keys), n=1, cutoff=0.6)
    if near:
        better = format_path(path + (near[0],))
        return Wrong(f"is unknown; did you mean {better}?", ", ".join(keys), f"write {better}")
    places = [place for place in _places_of(str(name)) if place != path + (name,)]
    if len(places) == 1:
        better = format_path(places[0])
        return Wrong(f"is unknown here; did you mean {better}?", ", ".join(keys), f"move it to {better}")
    if not isinstance(name, str):
        return Wrong("has a name that YAML does not read as text", ", ".join(keys), "put the name into quotes, or correct it")
    return Wrong("is unknown", ", ".join(keys), "remove it")


def _named(element: Rule, pattern: str, what: str) -> Rule:
    """A mapping of names that the author chose."""

    def rule(value: Any, path: KeyPath, report: Report) -> Any:
        if not isinstance(value, Mapping):
            report(path, Wrong(f"is {show(value)}", f"a mapping of {what} to settings", "write NAME: and its settings below, indented"))
            return value
        result = {}
        for name, item in value.items():
            if not isinstance(name, str) or not re.fullmatch(pattern, name):
                report(path + (name,), Wrong("is no valid name", f"{what}: {_PATTERN_WORDS[pattern]}", "rename it (a number needs quotes)"))
            result[name] = element(item, path + (name,), report)
        return result

    return rule


_SIMPLE_NAME = r"[\w\-.]+"
_FLAG_NAME = r"[^'\"]{1,1024}"
_PATTERN_WORDS = {
    _SIMPLE_NAME: "letters, digits, - _ .",
    _FLAG_NAME: "1 to 1024 characters without quotes",
}


# Values that the application converts

def _range_of(value: Any) -> list[float]:
    allowed = "LOW...HIGH, both from 0 to 100, such as 60...80"
    if isinstance(value, list):
        ends = value
    elif isinstance(value, str) and "...." not in value and ".." in value:
        ends = value.split("..." if "..." in value else "..")
    else:
        raise Wrong(f"is {show(value)}", allowed, "write it with two or three dots")
    if len(ends) != 2:
        raise Wrong(f"has {len(ends)} limits" if isinstance(value, list) else f"is {show(value)}", allowed, "write exactly two numbers")
    low, high = (_number(end, value, allowed) for end in ends)
    if isinstance(value, list) and low > high:
        low, high = high, low
    if not 0 <= low <= 100 or not 0 <= high <= 100:
        raise Wrong(f"is {show(value)}" if isinstance(value, str) else f"is {low:g}...{high:g}", allowed, "use numbers from 0 to 100")
    if low > high:
        raise Wrong(f"is {show(value)}: the first number is the larger one", allowed, f"write {high:g}...{low:g}")
    return [low, high]


def _number(end: Any, value: Any, allowed: str) -> float:
    try:
        if isinstance(end, bool):
            raise ValueError
        return float(end)
    except (TypeError, ValueError, OverflowError):
        raise Wrong(f"is {show(value)}" if isinstance(value, str) else f"has the limit {show(end)}", allowed, "write exactly two numbers") from None


def _percent_of(value: Any, auto: bool = False) -> Any:
    allowed = ("auto, or " if auto else "") + "a percentage such as 80% or 80"
    if value == "auto" and auto:
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Wrong("is a huge number", allowed, "write a percentage") from None
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?%?", value):
        return float(value.rstrip("%"))
    raise Wrong(f"is {show(value)}", allowed, "write the number alone, or with % directly behind it" if value != "auto" else "write a number")


def _bytes_of(value: Any) -> int:
    allowed = "a size such as 10mb, 500 kb, or bytes as a whole number"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = re.fullmatch(r"(\d+)\s*(mb|kb|gb|b|bytes)", value.lower()) if isinstance(value, str) else None
    if not match:
        raise Wrong(f"is {show(value)}", allowed, "write a number and one of b, bytes, kb, mb, gb")
    return int(match.group(1)) * {"b": 1, "bytes": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}[match.group(2)]


def _threshold_of(value: Any) -> list[Any]:
    if isinstance(value, float) or (isinstance(value, str) and "%" in value):
        return ["percentage", _percent_of(value)]
    return ["absolute", _bytes_of(value)]


_REQUIREMENTS = {"any_change": 1, "coverage_drop": 2, "uncovered_patch": 4}


def _required_changes_of(value: Any) -> list[int]:
    allowed = "true, false, or any_change, coverage_drop, uncovered_patch joined by 'or' and 'and'"
    if isinstance(value, bool):
        return [_REQUIREMENTS["any_change"] if value else 0]
    groups = []
    if not isinstance(value, str):
        raise Wrong(f"is {show(value)}", allowed, "write true or false")
    for group in re.split(r"\s+and\s+", value.strip().lower()):
        bits = 0
        for word in re.split(r"\s+or\s+", group):
            if word not in _REQUIREMENTS:
                near = difflib.get_close_matches(word, _REQUIREMENTS, n=1)
                raise Wrong(f"is {show(value)}", allowed, f"write {near[0]}" if near else "use these words")
            bits |= _REQUIREMENTS[word]
        groups.append(bits)
    return groups


def _kind_of_pattern(value: str) -> str:
    """Plain prefix, glob or regular expression, as the application guesses it."""
    if not any(character in value for character in "*$[]"):
        return "prefix"
    if "**" in value or "/*" in value:
        return "glob"
    if "*" in value and "]*" not in value and ".*" not in value:
        return "glob"
    return "regex" if _compiles(value) else "glob"


def _compiles(pattern: str) -> bool:
    with warnings.catch_warnings():
        # Python warns of sets that a later version may read otherwise.
        warnings.simplefilter("ignore")
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError):
            return False
    return True


def _glob_to_regex(pattern: str) -> str:
    """** is anything, * anything but /, ? one character, [...] one of them."""
    result, position = "", 0
    while position < len(pattern):
        character = pattern[position]
        if pattern.startswith("**", position):
            result, position = result + ".*", position + 2
        elif character == "[":
            choice = re.match(r"\[(!?)(\]?[^\]]*)\]", pattern[position:])
            if choice and choice.group(2):
                # Python warns of these inside a choice; escaped they mean themselves.
                inside = re.sub(r"([\\\[&~|^])", r"\\\1", choice.group(2))
                result += f"[{'^' if choice.group(1) else ''}{inside}]"
                position += choice.end()
            else:
                result, position = result + r"\[", position + 1
        else:
            result += {"*": r"[^\/]*", "?": "."}.get(character) or re.escape(character)
            position += 1
    return result


def _path_of(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"is {show(value)}", "a path, a glob (src/**/*.py) or a regular expression", "put it into quotes")
    negative = "!" if value.startswith("!") else ""
    pattern = value.lstrip("!")
    pattern = pattern[2:] if pattern.startswith("./") else pattern
    kind = _kind_of_pattern(pattern)
    if kind == "prefix":
        return negative + _compiled(f"^{pattern}.*", value)
    return negative + _compiled(pattern if kind == "regex" else rf"(?s:{_glob_to_regex(pattern)})\Z", value)


def _compiled(pattern: str, written: str) -> str:
    """The application would only stumble over a broken pattern when it processes a report."""
    if not _compiles(pattern):
        raise Wrong(f"is {show(written)}, which becomes no valid pattern", "a path, a glob (src/**/*.py) or a regular expression",
                    "escape brackets, plus signs and the like with a backslash")
    return pattern


def _path_fix_of(value: Any) -> str:
    if not isinstance(value, str) or "::" not in value:
        raise Wrong(f"is {show(value)}", "BEFORE::AFTER, such as /home/ci/::src/", "write what is replaced and what with, :: between them")
    before, after = value.split("::", 1)
    if not before or not after:
        return value
    kind = _kind_of_pattern(before)
    changed = f"^{before}" if kind == "prefix" else before if kind == "regex" else f"(?s:{_glob_to_regex(before)})"
    return f"{_compiled(changed, value)}::{after}"


def _branch_pattern_of(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"is {show(value)}", "a branch, with * for anything", "put it into quotes")
    if value in ("*", "", ".*"):
        return ".*"
    pattern = re.sub(r"(?<!\.)\*", ".*", value.strip())
    pattern = pattern if pattern.startswith((".*", "^")) else f"^{pattern}"
    pattern = pattern if pattern.endswith((".*", "$")) else f"{pattern}$"
    if not _compiles(pattern):
        raise Wrong(f"is {show(value)}, which is no valid pattern", "a branch, with * for anything", "write the name of the branch")
    return pattern


def _branch_of(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"is {show(value)}", "the name of a branch", "put it into quotes")
    for prefix in ("origin/", "refs/heads/"):
        if value.startswith(prefix):
            return value[len(prefix):]
    return value


_LAYOUT_PARTS = (
    "header", "footer", "condensed_header", "condensed_footer", "condensed_files", "diff", "flags", "flag", "files", "file", "tree", "reach",
    "changes", "components", "suggestions", "sunburst", "uncovered", "feedback", "betaprofiling", "newheader", "newfooter", "newfiles",
)


def _layout_of(value: Any) -> str:
    allowed = f"parts separated by commas: {', '.join(_LAYOUT_PARTS)}"
    if not isinstance(value, str):
        raise Wrong(f"is {show(value)}", allowed, "write 'header, diff, flags, files'")
    for part in value.split(","):
        name, colon, limit = part.strip().partition(":")
        if part and name not in _LAYOUT_PARTS:
            near = difflib.get_close_matches(name, _LAYOUT_PARTS, n=1)
            raise Wrong(f"has the part {show(name)}", allowed, f"write {near[0]}" if near else "remove it")
        if colon and not re.fullmatch(r"\s*[+-]?\d+(:.*)?", limit):
            raise Wrong(f"has the part {show(part.strip())}", "a number after the colon, such as files:10", "write a number")
    return value


# The keys

_percent = _simple(_percent_of, nullable=True)
_percent_or_auto = _simple(lambda value: _percent_of(value, auto=True), nullable=True)
_paths = _list(_simple(_path_of), nullable=True, what="a list of paths")
_branches = _list(_simple(_branch_pattern_of, nullable=True), nullable=True, what="a list of branches")
_fixes = _list(_simple(_path_fix_of), what="a list of BEFORE::AFTER")
# Null is in upstream's schema, but its own check fails with an error on it.
_layout = _simple(_layout_of)
_flag_names = _list(_text(rf"^{_FLAG_NAME}$", what="the name of a flag"), nullable=True, what="a list of flags")
_texts = _list(_text(), what="a list of texts")
_base = _text(allowed=("parent", "pr", "auto"))
_outcome = _text(allowed=("success", "failure", "error", "ignore"))
_carryforward_behavior = _text(allowed=("include", "exclude", "pass"))

_STATUS = {
    "base": _base,
    "branches": _branches,
    "disable_approx": _flag,
    "enabled": _flag,
    "if_ci_failed": _outcome,
    "if_no_uploads": _outcome,
    "if_not_found": _outcome,
    "informational": _flag,
    "measurement": _text(allowed=("line", "statement", "branch", "method", "complexity"), nullable=True),
    "only_pulls": _flag,
    "skip_if_assumes": _flag,
    "removed_code_behavior": _text(allowed=("removals_only", "adjust_base", "fully_covered_patch", "off", False)),
}
_FLAG_STATUS = {
    **_STATUS,
    "paths": _paths,
    "carryforward_behavior": _carryforward_behavior,
    "flag_coverage_not_uploaded_behavior": _carryforward_behavior,
}
_STANDARD_STATUS = {"flags": _flag_names, **_FLAG_STATUS}
_TARGET_STATUS = {"target": _percent_or_auto, "include_changes": _percent_or_auto, "threshold": _percent, **_STANDARD_STATUS}
_CUSTOM_STATUS = {
    "name_prefix": _text(rf"^{_SIMPLE_NAME}$", what="letters, digits, - _ ."),
    "type": _text(allowed=("project", "patch", "changes")),
    "target": _percent_or_auto,
    "threshold": _percent,
}


def _statuses(keys: Mapping[str, Rule]) -> Rule:
    each = _either((bool, _keep), (dict, _section(keys)), what="true, false or settings", nullable=True)
    return _either((bool, _keep), (dict, _named(each, _SIMPLE_NAME, "names")), what="true, false or named statuses")


_NOTIFICATION = {
    "url": _text(nullable=True),
    "branches": _branches,
    "threshold": _percent,
    "message": _text(),
    "flags": _flag_names,
    "base": _base,
    "only_pulls": _flag,
    "paths": _paths,
}


def _notifications(keys: Mapping[str, Rule]) -> Rule:
    return _named(_section({**keys, **_NOTIFICATION}), _SIMPLE_NAME, "names")


_FLAG_RULES = {
    "statuses": _list(_section({**_FLAG_STATUS, **_CUSTOM_STATUS})),
    "carryforward_mode": _text(allowed=("all", "labels")),
    "carryforward": _flag,
    "paths": _paths,
    "ignore": _paths,
    "after_n_builds": _whole(0),
}
_COMPONENT_RULES = {
    "statuses": _list(_section({**_STATUS, **_CUSTOM_STATUS})),
    "flag_regexes": _texts,
    "paths": _paths,
}
_flag_name = _text(rf"^{_FLAG_NAME}$", what="1 to 1024 characters without quotes")
_hidden = _either((bool, _keep), (list, _texts), what="true, false or a list of texts")


def _parser(*names: str) -> Rule:
    return _section(dict.fromkeys(names, _flag))


_KEYS: dict[str, Rule] = {
    "codecov": _section({
        "url": _text(r"^https?://", what="an address"),
        "token": _text(),
        "slug": _text(),
        "bot": _text(nullable=True),
        "branch": _simple(_branch_of),
        "ci": _texts,
        "assume_all_flags": _flag,
        "strict_yaml_branch": _text(),
        "max_report_age": _either((bool, _keep), (int, _keep), (str, _keep), what="false, a number of seconds, or text such as 24h"),
        "disable_default_path_fixes": _flag,
        "require_ci_to_pass": _flag,
        "allow_coverage_offsets": _flag,
        "allow_pseudo_compare": _flag,
        "archive": _section({"uploads": _flag}),
        "notify": _section({
            "after_n_builds": _whole(0),
            "countdown": _whole(),
            "delay": _whole(),
            "wait_for_ci": _flag,
            "require_ci_to_pass": _flag,
            "manual_trigger": _flag,
            "notify_error": _flag,
        }),
        "ui": _section({
            "hide_density": _hidden,
            "hide_complexity": _hidden,
            "hide_contexual": _flag,
            "hide_sunburst": _flag,
            "hide_search": _flag,
        }),
    }),
    "coverage": _section({
        "precision": _whole(0, 99),
        "round": _text(allowed=("down", "up", "nearest")),
        "range": _simple(_range_of),
        "notify": _section({
            "irc": _notifications({"channel": _text(), "server": _text(), "password": _text(nullable=True), "nickserv_password": _text(), "notice": _flag}),
            "slack": _notifications({"attachments": _layout}),
            "gitter": _notifications({}),
            "hipchat": _notifications({"card": _flag, "notify": _flag}),
            "webhook": _notifications({}),
            "email": _notifications({"to": _texts, "layout": _layout}),
        }),
        "status": _either((bool, _keep), (dict, _section({
            "default_rules": _section({
                "flag_coverage_not_uploaded_behavior": _carryforward_behavior,
                "carryforward_behavior": _carryforward_behavior,
            }),
            "project": _statuses(_TARGET_STATUS),
            "patch": _statuses(_TARGET_STATUS),
            "changes": _statuses(_STANDARD_STATUS),
            "no_upload_behavior": _text(allowed=("pass", "fail")),
        })), what="true, false or settings"),
    }),
    "bundle_analysis": _section({
        "warning_threshold": _simple(_threshold_of),
        "status": _text(allowed=(True, False, "informational")),
    }),
    "parsers": _section({
        "go": _parser("partials_as_hits"),
        "javascript": _parser("enable_partials"),
        "v1": _parser("include_full_missed_files"),
        "gcov": _section({"branch_detection": _parser("conditional", "loop", "method", "macro")}),
        "jacoco": _parser("partials_as_hits"),
        "cobertura": _parser("handle_missing_conditions", "partials_as_hits"),
        "lcov": _parser("partials_as_hits"),
    }),
    "ignore": _paths,
    "fixes": _fixes,
    "flags": _named(_section({
        "joined": _flag,
        "carryforward": _flag,
        "carryforward_mode": _text(allowed=("all", "labels")),
        "required": _flag,
        "ignore": _paths,
        "paths": _paths,
        "assume": _either((bool, _keep), (str, _keep), (dict, _section({"branches": _branches})), what="true, false or branches"),
        "after_n_builds": _whole(0),
    }), _FLAG_NAME, "flags"),
    "flag_management": _section({
        "default_rules": _section(_FLAG_RULES),
        "individual_flags": _list(_section({**_FLAG_RULES, "name": _flag_name})),
    }),
    "component_management": _section({
        "default_rules": _section(_COMPONENT_RULES),
        "individual_components": _list(_section({**_COMPONENT_RULES, "name": _text(), "component_id": _text()}, required=("component_id",))),
    }),
    "comment": _either((bool, _keep), (dict, _section({
        "layout": _layout,
        "require_changes": _simple(_required_changes_of),
        "require_base": _flag,
        "require_head": _flag,
        "show_critical_paths": _flag,
        "branches": _branches,
        "paths": _paths,
        "flags": _flag_names,
        "behavior": _text(allowed=("default", "once", "new", "spammy")),
        "after_n_builds": _whole(0),
        "show_carryforward_flags": _flag,
        "hide_comment_details": _flag,
        "hide_project_coverage": _flag,
        "require_bundle_changes": _text(allowed=("bundle_increase", False, True)),
        "bundle_change_threshold": _simple(_threshold_of),
    })), what="true, false or settings"),
    "slack_app": _either((bool, _keep), (dict, _section({"enabled": _flag})), what="true, false or settings"),
    "github_checks": _either((bool, _keep), (dict, _section({"annotations": _flag})), what="true, false or settings"),
    "profiling": _section({"fixes": _fixes, "grouping_attributes": _texts, "critical_files_paths": _list(_simple(_path_of))}),
    "beta_groups": _texts,
    "ai_pr_review": _section({"auto_review": _flag, "enabled": _flag, "method": _text(), "label_name": _text()}),
    "test_analytics": _section({"shorten_paths": _flag, "flake_detection": _flag}),
    "cli": _section({
        "plugins": _either((dict, _keep), what="a mapping"),
        "runners": _either((dict, _keep), what="a mapping"),
    }),
}
_DOCUMENT = _section(_KEYS)

# Where a key that stands at a wrong place belongs.
_MOVED: dict[str, tuple[tuple[str, ...], ...]] = {
    "precision": (("coverage", "precision"),),
    "round": (("coverage", "round"),),
    "range": (("coverage", "range"),),
    "status": (("coverage", "status"),),
    "notify": (("codecov", "notify"), ("coverage", "notify")),
    "project": (("coverage", "status", "project"),),
    "patch": (("coverage", "status", "patch"),),
    "require_ci_to_pass": (("codecov", "require_ci_to_pass"),),
    "max_report_age": (("codecov", "max_report_age"),),
    "layout": (("comment", "layout"),),
    "behavior": (("comment", "behavior"),),
    "require_changes": (("comment", "require_changes"),),
    "individual_flags": (("flag_management", "individual_flags"),),
    "individual_components": (("component_management", "individual_components"),),
    "components": (("component_management", "individual_components"),),
    "warning_threshold": (("bundle_analysis", "warning_threshold"),),
    "slack": (("coverage", "notify", "slack"),),
    "email": (("coverage", "notify", "email"),),
    "webhook": (("coverage", "notify", "webhook"),),
}


def _places_of(name: str) -> tuple[tuple[str, ...], ...]:
    return _MOVED.get(name, ())


def secret_values(document: Any) -> Iterator[str]:
    """What a repository should not publish: tokens, passwords, addresses of chat rooms."""
    for path, value in scalars_of(document):
        names = [element for element in path if isinstance(element, str)]
        hook = "notify" in names and names[-1:] == ["url"]
        if value not in (None, True, False, "") and (hook or names[-1:] in (["token"], ["password"], ["nickserv_password"])):
            yield str(value)


# Upstream keeps the old places of these.
_HOISTED = ("flags", "parsers", "ignore", "fixes")


def validate_repository(document: Any) -> tuple[dict[Any, Any], list[Problem]]:
    """The document as the application uses it, and its problems. Never raises on any YAML."""
    problem = layer_problem(NAME, document)
    if problem is not None:
        return {}, [_without_place(problem)]
    problems: list[Problem] = []
    moved, prepared = _prepare(document, problems)

    def report(path: KeyPath, wrong: Wrong) -> None:
        written = moved.get(path[:1], path[:1]) + path[1:] if path[:2] not in moved else moved[path[:2]] + path[2:]
        problems.append(Problem(ERROR, format_path(written) or NAME, wrong.message, wrong.allowed, wrong.way_out))

    normalised = _DOCUMENT(prepared, (), report)
    _check_components(normalised, problems)
    return normalised, problems


def _without_place(problem: Problem) -> Problem:
    if "top level" in problem.message or "empty" in problem.message:
        return Problem(ERROR, NAME, problem.message.split(";")[0], "a mapping (coverage:, comment:, ...)",
                       "write at least one setting, or remove the file")
    return problem.at("")


def _prepare(document: Mapping[Any, Any], problems: list[Problem]) -> tuple[dict[KeyPath, KeyPath], dict[Any, Any]]:
    """Move what stands at an old place; -> (new place -> place as written, document)."""
    result = {key: value for key, value in document.items() if key != "to_string"}
    moved: dict[KeyPath, KeyPath] = {}
    coverage = result.get("coverage")
    if isinstance(coverage, Mapping):
        coverage = dict(coverage)
        for name in _HOISTED:
            if name in coverage:
                if name in result:
                    problems.append(Problem(WARNING, name, f"is replaced by coverage.{name}", "", f"keep one of them, best {name}"))
                result[name] = coverage.pop(name)
                moved[(name,)] = ("coverage", name)
        result["coverage"] = coverage
    section = result.get("codecov")
    notify = section.get("notify") if isinstance(section, Mapping) else None
    if isinstance(notify, Mapping) and "require_ci_to_pass" in notify:
        rest = {key: value for key, value in notify.items() if key != "require_ci_to_pass"}
        result["codecov"] = {**dict(section or {}), "notify": rest, "require_ci_to_pass": notify["require_ci_to_pass"]}
        moved[("codecov", "require_ci_to_pass")] = ("codecov", "notify", "require_ci_to_pass")
    return moved, result


def _check_components(document: Mapping[Any, Any], problems: list[Problem]) -> None:
    """Names that must be unique."""
    for section, entries, key in (("flag_management", "individual_flags", "name"), ("component_management", "individual_components", "component_id")):
        holder = document.get(section)
        found = holder.get(entries) if isinstance(holder, Mapping) else None
        seen: set[str] = set()
        for index, entry in enumerate(found if isinstance(found, list) else []):
            name = entry.get(key) if isinstance(entry, Mapping) else None
            if isinstance(name, str) and name in seen:
                problems.append(Problem(WARNING, format_path((section, entries, index, key)), f"is {show(name)} a second time", "", "rename or merge them"))
            if isinstance(name, str):
                seen.add(name)
