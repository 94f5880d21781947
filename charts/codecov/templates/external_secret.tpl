{{/* The operator fetches every secret that codecov.yml names, and writes the finished file. Arguments: root, secret (name of both), annotations. */}}
{{- define "codecov.externalSecret" }}
{{- $given := .root.Values.config.externalSecrets }}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  name: {{ .secret }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "codecov.labels" (dict "root" .root "name" "config") | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  secretStoreRef: {name: {{ $given.store }}, kind: {{ $given.storeKind }}}
  refreshInterval: {{ $given.refreshInterval }}
  target:
    name: {{ .secret }}
    template:
      type: Opaque
      data:
        codecov.yml: {{ include "codecov.fetched" (toJson .root.Values.config.content) | quote }}
  data:
    {{- range $name, $place := $given.keys }}
    - secretKey: {{ $name }}
      remoteRef: {{ toJson $place }}
    {{- end }}
{{- end }}

{{- if .Values.config.externalSecrets.enabled }}
{{- include "codecov.externalSecret" (dict "root" . "secret" (printf "%s-config" .Values.name)) }}
{{- end }}
