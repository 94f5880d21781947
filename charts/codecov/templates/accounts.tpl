{{- $services := merge (dict) .Values.services .Values.platform }}
{{- range $name, $service := $services }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "codecov.serviceAccount" (dict "root" $ "name" $name) }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" (dict "root" $ "name" $name) | nindent 4 }}
  {{- if $service.config }}
  {{- with $.Values.identity.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
