# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""file_set, run for real on a directory of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import stat
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils import basic
from ansible_collections.covstack.selfhosted.plugins.module_utils import _file_set
from ansible_collections.covstack.selfhosted.plugins.modules import file_set

SECRET = "Zq8vJ3mLx0-Tw5"
OLD_SECRET = "Old7hNp2-Rk9c1X"
TEXT = "user: codecov\npassword: ${secret:postgres_password}\n"

Run = Callable[..., "dict[str, Any]"]


@pytest.fixture()
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the module on tmp_path/set; returns its result, failed runs included."""

    def run_module(files: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {"directory": str(tmp_path / "set"), "files": files, **options}
        arguments.update({"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(tmp_path), "_ansible_keep_remote_files": False})
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            file_set.main()
        output = capsys.readouterr().out
        assert SECRET not in output and OLD_SECRET not in output, "a secret left the module"
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return result

    return run_module


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    return tmp_path / "set"


@pytest.fixture()
def secrets_path(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.yml"
    path.write_text(f"postgres_password: {SECRET}\n")
    return path


def diff_text(result: dict[str, Any]) -> str:
    return "\n".join(f"{part['before_header']}\n{part['before']}\n->\n{part['after_header']}\n{part['after']}" for part in result["diff"])


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def snapshot(root: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(root)): (mode_of(path), path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
    }


def test_six_steps(run: Run, root: Path) -> None:
    files = {"a.conf": {"content": "one\n"}, "d/b.conf": {"content": "two\n", "mode": "0640"}}
    checked = run(files, check=True)
    assert checked["changed"] and not root.exists()
    first = run(files)
    assert {key: checked[key] for key in checked if key != "invocation"} == {key: first[key] for key in first if key != "invocation"}
    assert first["changed_files"] == ["a.conf", "d/b.conf"] and first["changed_directories"] == [".", "d"]
    assert (root / "a.conf").read_text() == "one\n" and mode_of(root / "a.conf") == 0o644 and mode_of(root / "d/b.conf") == 0o640
    assert first["digests"]["a.conf"] == hashlib.sha256(b"one\n").hexdigest()
    before = snapshot(root)
    for check in (True, False):
        again = run(files, check=check)
        assert not again["changed"] and again["diff"] == [] and again["changed_files"] == []
    assert snapshot(root) == before
    files["a.conf"] = {"content": "three\n"}
    checked = run(files, check=True)
    assert checked["changed_files"] == ["a.conf"] and snapshot(root) == before
    changed = run(files)
    assert changed["diff"] == checked["diff"] and "one" in diff_text(changed) and "three" in diff_text(changed)
    assert (root / "a.conf").read_text() == "three\n"


def test_retracts_what_it_wrote_and_nothing_else(run: Run, root: Path) -> None:
    run({"a": {"content": "a"}, "d/e/b": {"content": "b"}, "d/c": {"content": "c"}})
    (root / "d" / "foreign").write_text("not ours")
    checked = run({"a": {"content": "a"}}, check=True)
    assert checked["removed_files"] == ["d/c", "d/e/b"] and checked["removed_directories"] == ["d/e"] and (root / "d/c").exists()
    done = run({"a": {"content": "a"}})
    assert done["removed_files"] == checked["removed_files"] and done["removed_directories"] == checked["removed_directories"]
    assert sorted(path.name for path in (root / "d").iterdir()) == ["foreign"]
    assert not run({"a": {"content": "a"}})["changed"]
    (root / "d" / "foreign").unlink()
    assert run({"a": {"content": "a"}})["removed_directories"] == ["d"], "the directory was remembered as ours"
    gone = run({})
    assert gone["removed_files"] == ["a"] and list(root.iterdir()) == [], "the manifest goes with the last file"
    assert not run({})["changed"]


def test_nothing_wanted_on_an_empty_host_is_no_change(run: Run, root: Path) -> None:
    assert not run({})["changed"] and not root.exists()


def test_a_directory_that_was_there_is_not_removed(run: Run, root: Path) -> None:
    (root / "d").mkdir(parents=True)
    run({"d/a": {"content": "a"}})
    assert run({})["removed_directories"] == [] and (root / "d").is_dir()


def test_missing_directories_above_the_set_are_private(run: Run, tmp_path: Path) -> None:
    run({"a/b": {"content": "b"}}, directory=str(tmp_path / "above" / "set"))
    assert [mode_of(tmp_path / path) for path in ("above", "above/set", "above/set/a")] == [0o700, 0o755, 0o755]


def test_nested_directories_are_retracted_when_the_last_foreign_file_goes(run: Run, root: Path) -> None:
    run({"d/e/a": {"content": "a"}})
    (root / "d/e/foreign").write_text("")
    assert run({"x": {"content": ""}})["removed_directories"] == []
    (root / "d/e/foreign").unlink()
    assert run({"x": {"content": ""}})["removed_directories"] == ["d/e", "d"]


def test_files_of_others_are_never_removed(run: Run, root: Path) -> None:
    root.mkdir()
    (root / "other").write_text("other")
    run({"a": {"content": "a"}})
    run({})
    assert (root / "other").read_text() == "other"


def test_secrets_are_filled_in_on_the_host_only(run: Run, root: Path, secrets_path: Path) -> None:
    files = {"db.conf": {"content": TEXT}}
    result = run(files, secrets_path=str(secrets_path))
    assert (root / "db.conf").read_text() == f"user: codecov\npassword: {SECRET}\n" and mode_of(root / "db.conf") == 0o600
    assert "${secret:postgres_password}" in diff_text(result)
    assert result["digests"]["db.conf"] == hashlib.sha256((root / "db.conf").read_bytes()).hexdigest()
    assert SECRET not in (root / ".covstack-manifest.json").read_text() and mode_of(root / ".covstack-manifest.json") == 0o600
    assert not run(files, secrets_path=str(secrets_path))["changed"]


def test_a_rotated_secret_is_a_change_that_shows_neither_value(run: Run, root: Path, secrets_path: Path) -> None:
    secrets_path.write_text(f"postgres_password: {OLD_SECRET}\n")
    run({"db.conf": {"content": TEXT}}, secrets_path=str(secrets_path))
    secrets_path.write_text(f"postgres_password: {SECRET}\n")
    result = run({"db.conf": {"content": TEXT}}, secrets_path=str(secrets_path))
    assert result["changed_files"] == ["db.conf"] and SECRET in (root / "db.conf").read_text()


def test_diff_of_a_file_with_secrets_shows_the_other_lines(run: Run, secrets_path: Path) -> None:
    run({"db.conf": {"content": TEXT}}, secrets_path=str(secrets_path))
    shown = diff_text(run({"db.conf": {"content": TEXT.replace("codecov", "other")}}, secrets_path=str(secrets_path)))
    assert "user: codecov" in shown and "user: other" in shown


@pytest.mark.parametrize("in_manifest", [True, False])
def test_changed_by_hand_lines_of_a_secret_file_are_hidden(run: Run, root: Path, secrets_path: Path, in_manifest: bool) -> None:
    if in_manifest:
        run({"db.conf": {"content": TEXT}}, secrets_path=str(secrets_path))
    root.mkdir(exist_ok=True)
    (root / "db.conf").write_text(f"user: codecov\npassword: {SECRET}\nother: {OLD_SECRET}\n")
    before = run({"db.conf": {"content": TEXT}}, secrets_path=str(secrets_path))["diff"][0]["before"]
    assert before == f"user: codecov\npassword: ${{secret:postgres_password}}\n{_file_set.HIDDEN_LINE}"


def test_a_private_file_of_others_is_hidden_when_replaced(run: Run, root: Path) -> None:
    root.mkdir()
    (root / "a").write_text(f"token: {SECRET}\n")
    (root / "a").chmod(0o600)
    assert run({"a": {"content": "x\n"}})["diff"][0]["before"] == _file_set.HIDDEN_LINE


def test_a_retracted_secret_file_is_shown_with_references(run: Run, secrets_path: Path) -> None:
    run({"db.conf": {"content": TEXT}}, secrets_path=str(secrets_path))
    assert run({})["diff"][0]["before"] == TEXT


@pytest.mark.parametrize("content", ["$HOME ${HOME} $$ ${secret} ${secret:} $(x) ${ secret:a }", "a$", "${secrets:a}"])
def test_other_dollars_stay(run: Run, root: Path, content: str) -> None:
    run({"a": {"content": content}})
    assert (root / "a").read_text() == content


def test_check_mode_without_the_secrets_of_an_earlier_task(run: Run, root: Path, tmp_path: Path) -> None:
    result = run({"db.conf": {"content": TEXT}, "a": {"content": "a"}}, check=True, secrets_path=str(tmp_path / "later.yml"))
    assert result["changed_files"] == ["a", "db.conf"] and result["digests"]["db.conf"] is None and not root.exists()


def test_check_mode_with_a_secret_that_is_still_to_come(run: Run, secrets_path: Path) -> None:
    files = {"db.conf": {"content": "${secret:later}"}}
    assert run(files, check=True, secrets_path=str(secrets_path))["changed_files"] == ["db.conf"]
    failed = run(files, secrets_path=str(secrets_path))
    assert failed["failed"] and "later" in failed["msg"] and "files['db.conf']" in failed["msg"]


def test_binary_content(run: Run, root: Path) -> None:
    data = bytes(range(256))
    files = {"b": {"content_base64": base64.b64encode(data).decode()}}
    assert "binary, 256 bytes" in diff_text(run(files))
    assert (root / "b").read_bytes() == data and not run(files)["changed"]


def test_base64_is_written_as_it_is(run: Run, root: Path) -> None:
    run({"b": {"content_base64": base64.b64encode(b"${secret:x}").decode()}})
    assert (root / "b").read_bytes() == b"${secret:x}"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owner_and_mode(run: Run, root: Path) -> None:
    files = {"a": {"content": "a", "mode": "0640", "owner": "1234", "group": "2345"}}
    options = {"directories": {".": {"mode": "0711"}, "d": {"mode": "0750", "owner": "999"}}}
    checked, done = run(files, check=True, **options), run(files, **options)
    assert checked["diff"] == done["diff"]
    status = (root / "a").stat()
    assert (status.st_uid, status.st_gid, mode_of(root / "a")) == (1234, 2345, 0o640)
    assert mode_of(root) == 0o711 and mode_of(root / "d") == 0o750 and (root / "d").stat().st_uid == 999
    assert not run(files, **options)["changed"]
    os.chown(root / "a", 0, 0)
    (root / "d").chmod(0o777)
    repaired = run(files, **options)
    assert repaired["changed_files"] == ["a"] and repaired["changed_directories"] == ["d"]
    assert "owner: 0" in diff_text(repaired) and (root / "a").stat().st_uid == 1234


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_without_an_owner_the_present_one_is_kept(run: Run, root: Path) -> None:
    run({"a": {"content": "a"}})
    os.chown(root / "a", 1234, 1234)
    run({"a": {"content": "b"}})
    assert (root / "a").stat().st_uid == 1234 and (root / "a").read_text() == "b"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"../a": {"content": ""}}, "leaves the directory"),
        ({"/etc/a": {"content": ""}}, "leaves the directory"),
        ({"d/../../a": {"content": ""}}, "leaves the directory"),
        ({"": {"content": ""}}, "is not a path"),
        ({".": {"content": ""}}, "already taken"),
        ({".covstack-manifest.json": {"content": ""}}, "already taken by the manifest"),
        ({"a": {"content": ""}, "./a": {"content": ""}}, "already taken"),
        ({"a": {"content": ""}, "a/b": {"content": ""}}, "is a file of the set itself"),
        ({"a": {}}, "exactly one of content, content_base64 and source"),
        ({"a": {"content": "", "content_base64": ""}}, "exactly one of"),
        ({"a": {"content": "", "source": "/etc/hostname"}}, "exactly one of"),
        ({"a": {"source": "etc/hostname"}}, "is not a path"),
        ({"a": {"content": "", "retract": "no"}}, "neither true nor false"),
        ({"a": {"source": "/nonexistent/file"}}, "cannot be read: No such file"),
        ({"a": {"content": ["x"]}}, "content is not a string"),
        ({"a": {"content_base64": "%%%"}}, "is not Base64"),
        ({"a": "text"}, "is not a mapping"),
        ({"a": {"contents": ""}}, "unknown key 'contents'"),
        ({"a": {"content": "", "mode": 420}}, "is not an octal string"),
        ({"a": {"content": "", "mode": "u=rw"}}, "is not an octal string"),
        ({"a": {"content": "", "owner": "no-such-user"}}, "there is no user 'no-such-user'"),
        ({"a": {"content": "", "group": "no-such-group"}}, "there is no group"),
        ({"a": {"content": "${secret:x}"}}, "secrets_path: is missing"),
    ],
)
def test_bad_sets_are_refused_before_anything_is_written(run: Run, root: Path, files: dict[str, Any], expected: str) -> None:
    result = run({"good": {"content": "good"}, **files})
    assert result["failed"] and expected in result["msg"] and not root.exists()


def test_a_secret_is_not_for_everyone(run: Run, secrets_path: Path) -> None:
    result = run({"a": {"content": TEXT, "mode": "0644"}}, secrets_path=str(secrets_path))
    assert result["failed"] and "lets everyone in" in result["msg"]


@pytest.mark.parametrize("content", ["[not, a, mapping]", "a: [", "postgres_password: 12345", "Bad-Name: x"])
def test_an_unusable_file_of_secrets_is_one_clear_error(run: Run, tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.yml"
    path.write_text(content)
    result = run({"a": {"content": TEXT}}, secrets_path=str(path))
    assert result["failed"] and str(path) in result["msg"] and "12345" not in result["msg"]


def test_links_out_of_the_directory_are_refused(run: Run, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    root.mkdir()
    (root / "d").symlink_to(tmp_path / "outside")
    (root / "a").symlink_to(tmp_path / "outside" / "a")
    for path in ("d/x", "a"):
        result = run({path: {"content": ""}})
        assert result["failed"] and "symbolic link" in result["msg"]
    assert list((tmp_path / "outside").iterdir()) == []


def test_retracting_does_not_follow_a_link_out(run: Run, root: Path, tmp_path: Path) -> None:
    run({"d/a": {"content": "a"}, "b": {"content": "b"}})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("not ours")
    (root / "d/a").unlink()
    (root / "d").rmdir()
    (root / "d").symlink_to(tmp_path / "outside")
    assert run({"b": {"content": "b"}})["failed"] and (tmp_path / "outside" / "a").exists()


def test_the_directory_itself_may_be_a_link(run: Run, root: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    root.symlink_to(tmp_path / "real")
    run({"a": {"content": "a"}})
    assert (tmp_path / "real" / "a").read_text() == "a"


def test_a_directory_in_the_place_of_a_file_is_refused(run: Run, root: Path) -> None:
    (root / "a").mkdir(parents=True)
    assert "is a directory" in run({"a": {"content": ""}})["msg"]


def test_a_file_in_the_place_of_a_directory_is_refused(run: Run, root: Path) -> None:
    root.mkdir()
    (root / "d").write_text("")
    assert "needed as a directory" in run({"d/a": {"content": ""}})["msg"]


def test_a_damaged_manifest_is_one_clear_error(run: Run, root: Path) -> None:
    run({"a": {"content": "a"}})
    (root / ".covstack-manifest.json").write_text("{}")
    result = run({"a": {"content": "b"}})
    assert result["failed"] and "is not a manifest" in result["msg"] and (root / "a").read_text() == "a"


def test_a_manifest_cannot_name_files_outside(run: Run, root: Path, tmp_path: Path) -> None:
    run({"a": {"content": "a"}})
    (tmp_path / "victim").write_text("")
    (root / ".covstack-manifest.json").write_text('{"version": 1, "files": {"../victim": {}}, "directories": []}')
    assert run({"a": {"content": "a"}})["failed"] and (tmp_path / "victim").exists()


def test_two_sets_share_a_directory(run: Run, root: Path) -> None:
    run({"a": {"content": "a"}}, manifest=".a.json")
    run({"b": {"content": "b"}}, manifest=".b.json")
    run({}, manifest=".a.json")
    assert [path.name for path in sorted(root.iterdir())] == [".b.json", "b"]


@pytest.mark.parametrize("killed_at", range(6))
def test_an_interrupted_run_is_finished_by_the_next(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int) -> None:
    """Whatever rename or removal it dies before: the next run converges, and forgets none of its files."""
    run({"a": {"content": "a"}, "old": {"content": "old"}})

    class Killed(BaseException):
        pass

    calls = iter(range(100))

    def dying(real: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            if next(calls) == killed_at:
                raise Killed
            real(*arguments)

        return call

    real_replace, real_unlink = os.replace, os.unlink
    wanted = {"a": {"content": "b"}, "new": {"content": "new"}}
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying(real_replace))
        patch.setattr(os, "unlink", lambda path: dying(real_unlink)(path) if not os.path.basename(path).startswith(".") else real_unlink(path))
        try:
            run(wanted)
        except Killed:
            pass
    run(wanted)
    assert {path.name for path in root.iterdir()} == {"a", "new", ".covstack-manifest.json"} and (root / "a").read_text() == "b"
    run({})
    assert list(root.iterdir()) == []


def test_what_a_killed_run_had_half_written_is_removed(run: Run, root: Path, secrets_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL between writing and renaming: no copy of a secret may stay behind, whatever the set has become since."""
    files = {"d/db.conf": {"content": TEXT}, "a": {"content": "a"}}
    (root / "d").mkdir(parents=True)

    def dying(source: str, target: str) -> None:
        if target.endswith("db.conf"):
            os.kill(os.getpid(), signal.SIGKILL)
        os.rename(source, target)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "replace", dying)
        run(files, secrets_path=str(secrets_path))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    left = list((root / "d").iterdir())
    assert [mode_of(path) for path in left] == [0o600] and SECRET in left[0].read_text()
    run({"a": {"content": "a"}})
    assert sorted(path.name for path in root.rglob("*")) == [".covstack-manifest.json", "a", "d"]


def test_what_the_system_refuses_is_one_clear_error(run: Run, root: Path) -> None:
    name = "x" * 300
    result = run({name: {"content": ""}})
    assert result["failed"] and "File name too long" in result["msg"] and "Traceback" not in json.dumps(result["msg"])


def test_a_thousand_files_in_one_call(run: Run) -> None:
    files = {f"d{index % 10}/f{index}": {"content": str(index)} for index in range(1000)}
    assert len(run(files)["changed_files"]) == 1000
    assert not run(files)["changed"]


def test_a_copy_of_a_file_on_the_host_is_kept_and_never_shown(run: Run, root: Path, tmp_path: Path) -> None:
    source = tmp_path / "codecov.yml"
    files = {"codecov.yml": {"source": str(source)}}
    assert run(files, check=True)["changed"], "what is not there yet would be made earlier in the play"
    source.write_text(f"password: {SECRET}\n")
    assert run(files, check=True)["changed"] and not root.exists()
    first = run(files)
    assert first["changed"] and (root / "codecov.yml").read_text() == source.read_text()
    assert (root / "codecov.yml").stat().st_mode & 0o777 == 0o600
    assert not run(files)["changed"]
    source.write_text(f"password: {OLD_SECRET}\n")
    assert "sha256" in diff_text(run(files))
    (root / "codecov.yml").write_text(f"password: {SECRET}\n# by hand\n")
    assert run(files)["changed"] and (root / "codecov.yml").read_text() == source.read_text()
    assert run({})["removed_files"] == ["codecov.yml"] and source.exists()


def test_what_is_not_to_be_retracted_stays(run: Run, root: Path) -> None:
    one = {"releases/1/compose.yml": {"content": "1", "retract": False}, "compose.yml": {"content": "a"}}
    assert run(one)["changed"] and not run(one)["changed"]
    second = run({"releases/2/compose.yml": {"content": "2", "retract": False}, "compose.yml": {"content": "a"}})
    assert second["changed_files"] == ["releases/2/compose.yml"] and second["removed_files"] == []
    assert run({})["removed_files"] == ["compose.yml"]
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*.yml")) == ["releases/1/compose.yml", "releases/2/compose.yml"]


JOURNAL = {"file": "changes.log", "line": "jane\n  switches"}


def test_the_journal_has_a_line_for_each_run_that_changes_a_file(run: Run, root: Path) -> None:
    files = {"a": {"content": "one"}}
    run(files, check=True, journal=JOURNAL)
    assert not root.exists()
    run(files, journal=JOURNAL)
    run(files, journal=JOURNAL)
    run({"a": {"content": "two"}, "b": {"content": "new"}}, journal=JOURNAL)
    run({}, journal=JOURNAL)
    lines = (root / "changes.log").read_text().splitlines()
    assert len(lines) == 3 and all(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z jane switches", line) for line in lines), lines


def test_the_line_in_the_journal_is_older_than_the_change(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run({"a": {"content": "one"}})

    real = _file_set.replace_file

    def full(target: str, *arguments: Any) -> None:
        if target == str(root / "a"):
            raise OSError(28, "No space left on device", target)
        real(target, *arguments)

    monkeypatch.setattr(_file_set, "replace_file", full)
    assert "No space left" in run({"a": {"content": "two"}}, journal=JOURNAL)["msg"]
    assert (root / "a").read_text() == "one" and len((root / "changes.log").read_text().splitlines()) == 1


@pytest.mark.parametrize("file", ["a", ".covstack-manifest.json", "d", "../elsewhere", "/tmp/elsewhere", ""])
def test_a_journal_in_the_place_of_something_else_is_refused(run: Run, root: Path, file: str) -> None:
    run({"d/b": {"content": "one"}})
    result = run({"a": {"content": "one"}, "d/b": {"content": "one"}}, journal={"file": file, "line": "jane"})
    assert result["failed"] and "journal" in result["msg"] and not (root / "a").exists()
