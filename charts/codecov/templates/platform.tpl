{{- range $name, $service := .Values.platform }}
{{- $scope := dict "root" $ "name" $name "service" $service }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ include "codecov.name" $scope }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
spec:
  serviceName: {{ include "codecov.name" $scope }}
  # One, always: embedded services are for trials, and two would each have data of their own.
  replicas: 1
  selector:
    matchLabels:
      {{- include "codecov.selector" $scope | nindent 6 }}
  template:
    metadata:
      {{- include "codecov.podMetadata" $scope | nindent 6 }}
    spec:
      {{- include "codecov.podSpec" $scope | nindent 6 }}
  {{- if $service.volumes }}
  volumeClaimTemplates:
    {{- range $service.volumes }}
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: {{ .name | replace "_" "-" }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $.Values.volumes.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ .size }}}}
    {{- end }}
  {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "codecov.name" $scope }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
spec:
  selector:
    {{- include "codecov.selector" $scope | nindent 4 }}
  ports:
    - {name: main, port: {{ $service.port }}, targetPort: main, protocol: {{ $service.protocol }}}
    {{- with $service.metricsPort }}
    - {name: metrics, port: {{ . }}, targetPort: metrics, protocol: TCP}
    {{- end }}
{{- end }}
