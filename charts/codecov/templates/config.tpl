{{- if not .Values.config.externalSecrets.enabled }}
{{- $own := false }}
{{- range $slot, $given := .Values.slots }}{{ if not $given.config.secretName }}{{ $own = true }}{{ end }}{{ end }}
{{- if $own }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Values.name }}-config
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "codecov.labels" (dict "root" . "name" "config") | nindent 4 }}
type: Opaque
data:
  codecov.yml: {{ include "codecov.resolved" (dict "root" . "text" (toJson .Values.config.content) "json" true) | b64enc }}
{{- end }}
{{- end }}
{{- if and .Values.files.content (not .Values.files.secretName) }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Values.name }}-files
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "codecov.labels" (dict "root" . "name" "files") | nindent 4 }}
type: Opaque
data:
  {{- range $file, $text := .Values.files.content }}
  {{ $file | replace "/" "." }}: {{ include "codecov.resolved" (dict "root" $ "text" $text) | b64enc }}
  {{- end }}
{{- end }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Values.name }}-probe
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "codecov.labels" (dict "root" . "name" "probe") | nindent 4 }}
data:
  probe.py: |
    {{- .Files.Get "files/probe.py" | nindent 4 }}
