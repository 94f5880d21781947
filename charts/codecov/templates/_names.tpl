{{/* Names and labels. */}}

{{- define "codecov.selector" -}}
app.kubernetes.io/name: codecov
app.kubernetes.io/instance: {{ .root.Values.name }}
app.kubernetes.io/component: {{ .name }}
{{- with .slot }}
covstack.selfhosted/slot: {{ . }}
{{- end }}
{{- end }}

{{- define "codecov.labels" -}}
{{ include "codecov.selector" . }}
app.kubernetes.io/part-of: codecov
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Of a pod: the networks it takes part in, as in Compose. NetworkPolicies select by them. */}}
{{- define "codecov.networks" -}}
{{- range .service.networks }}
network.covstack.selfhosted/{{ . }}: "true"
{{- end }}
{{- end }}

{{/* Of the objects of a service: name-service, or name-service-slot. */}}
{{- define "codecov.name" -}}
{{ .root.Values.name }}-{{ .name }}{{ with .slot }}-{{ . }}{{ end }}
{{- end }}

{{/* The slot that requests go to: the one with the greatest weight. */}}
{{- define "codecov.servingSlot" -}}
{{- $best := dict "weight" -1 -}}
{{- range $slot, $given := .Values.slots -}}
{{- if gt (int $given.weight) (int $best.weight) -}}
{{- $best = dict "slot" $slot "weight" $given.weight -}}
{{- end -}}
{{- end -}}
{{- $best.slot -}}
{{- end }}

{{/* Whether a service of a slot has no pods: the slot is parked, or gets no requests. All workers take tasks from one queue, and what is tested is to take none. */}}
{{- define "codecov.idle" -}}
{{- $slot := index .root.Values.slots .slot -}}
{{- if or $slot.parked (and (eq .service.tier "worker") (not (int $slot.weight))) }}true{{ end -}}
{{- end }}

{{/* The service that requests come in by. */}}
{{- define "codecov.entry" -}}
{{- range $name, $service := .Values.services -}}
{{- if $service.entry }}{{ $name }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Secret with the codecov.yml of a slot: one that exists, or the chart's own. */}}
{{- define "codecov.configSecret" -}}
{{- $slot := index .root.Values.slots .slot -}}
{{- $slot.config.secretName | default (printf "%s-config" .root.Values.name) -}}
{{- end }}

{{- define "codecov.filesSecret" -}}
{{- .Values.files.secretName | default (printf "%s-files" .Values.name) -}}
{{- end }}

{{/* The text with each ${secret:NAME} replaced by its value, as it may stand in a JSON string if "json". Plain Helm only: a Secret that exists is finished. */}}
{{- define "codecov.resolved" -}}
{{- $text := .text -}}
{{- range $name, $value := .root.Values.secrets -}}
{{- $plain := toString $value -}}
{{- $text = $text | replace (printf "${secret:%s}" $name) (ternary ($plain | toJson | trimPrefix "\"" | trimSuffix "\"") $plain (hasKey $ "json")) -}}
{{- end -}}
{{- with regexFind "[$][{]secret:[^}]*[}]" $text -}}
{{- fail (printf "secrets.%s has no value -> give it, or name a Secret that holds the finished files" (. | trimPrefix "${secret:" | trimSuffix "}")) -}}
{{- end -}}
{{- $text -}}
{{- end }}

{{/* The same, for the External Secrets operator, whose templates name a secret as {{ .NAME }}. */}}
{{- define "codecov.fetched" -}}
{{- regexReplaceAll "[$][{]secret:([A-Za-z0-9_]+)[}]" . (printf "{{ .$1 | toJson | trimPrefix %s | trimSuffix %s }}" "`\"`" "`\"`") -}}
{{- end }}

{{/* Annotations that make a new pod of what a container reads once, at its start. */}}
{{- define "codecov.configChecksum" -}}
{{- $slot := index .root.Values.slots .slot -}}
{{- $slot.config.checksum | default (sha256sum (printf "%s%s" (toJson .root.Values.config) (toJson .root.Values.secrets))) | trunc 32 -}}
{{- end }}
