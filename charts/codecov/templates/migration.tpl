{{/*
Jobs run before anything of the release is changed; one that fails ends the upgrade, and the old release goes on. What a job needs is there before it,
as hooks of lower weight. On a first install with embedded data services there is nothing that could be migrated before they run: then the job is one
of the release's own objects, and waits for them. It has a name of its own: Helm cannot roll back to a revision with an object that a hook took the place of.
*/}}
{{- range $name, $job := .Values.jobs }}
{{- $service := get $.Values.services $job.service }}
{{- $embedded := false }}
{{- range $job.needs }}{{ if hasKey $.Values.platform . }}{{ $embedded = true }}{{ end }}{{ end }}
{{- $hook := or $.Release.IsUpgrade (not $embedded) }}
{{- $given := index $.Values.slots $job.slot }}
{{- $external := and $.Values.config.externalSecrets.enabled (not $given.config.secretName) }}
{{- $own := not (or $given.config.secretName $external) }}
{{- $full := printf "%s-%s%s" $.Values.name (ternary "" "first-" $hook) $name }}
{{- $scope := dict "root" $ "name" $name "service" (omit $service "upstreams") "slot" $job.slot "imageOf" $job.service "job" $job.command "serviceAccount" $full "probeMap" $full "policy" $full }}
{{- if or $own $external }}{{ $_ := set $scope "configSecret" $full }}{{ end }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $full }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
  annotations:
    {{- with $.Values.identity.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "codecov.hook" (dict "hook" $hook "weight" "-5") | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $full }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
  annotations:
    {{- include "codecov.hook" (dict "hook" $hook "weight" "-5") | nindent 4 }}
data:
  probe.py: |
    {{- $.Files.Get "files/probe.py" | nindent 4 }}
{{- if $external }}
{{- include "codecov.externalSecret" (dict "root" $ "secret" $full "annotations" (include "codecov.hook" (dict "hook" $hook "weight" "-5"))) }}
{{- end }}
{{- if $own }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ $full }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
  annotations:
    {{- include "codecov.hook" (dict "hook" $hook "weight" "-5") | nindent 4 }}
type: Opaque
data:
  codecov.yml: {{ include "codecov.resolved" (dict "root" $ "text" (toJson $.Values.config.content) "json" true) | b64enc }}
{{- end }}
{{- if $.Values.networkPolicies.enabled }}
---
{{- include "codecov.networkPolicy" $scope }}
  {{- if $hook }}
  annotations:
    {{- include "codecov.hook" (dict "hook" $hook "weight" "-5") | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "codecov.selector" $scope | nindent 6 }}
  policyTypes: [Ingress]
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $full }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
  annotations:
    {{- include "codecov.hook" (dict "hook" $hook "weight" "0") | nindent 4 }}
spec:
  # Once: what a killed migration left is for somebody to look at, and the next attempt is another release.
  backoffLimit: 0
  activeDeadlineSeconds: {{ $job.timeout }}
  {{- if $hook }}
  # Its log stays for a day; it is no object of the release, which would clean it up.
  ttlSecondsAfterFinished: 86400
  {{- end }}
  template:
    metadata:
      {{- include "codecov.podMetadata" $scope | nindent 6 }}
    spec:
      restartPolicy: Never
      {{- include "codecov.podSpec" $scope | nindent 6 }}
{{- end }}

{{- define "codecov.hook" -}}
{{- if .hook -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation{{ if not (eq .weight "0") }},hook-succeeded{{ end }}
{{- else -}}
covstack.selfhosted/order: {{ .weight | quote }}
{{- end -}}
{{- end }}
