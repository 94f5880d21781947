{{- range $slot, $_ := .Values.slots }}
{{- range $name, $service := $.Values.services }}
{{- $scope := dict "root" $ "name" $name "service" $service "slot" $slot }}
{{- $idle := include "codecov.idle" $scope }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "codecov.name" $scope }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
spec:
  {{- if $idle }}
  replicas: 0
  {{- else if not $service.autoscaling.enabled }}
  replicas: {{ $service.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  # A pod that does not become ready stops the update, and those that serve stay.
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "codecov.selector" $scope | nindent 6 }}
  template:
    metadata:
      {{- include "codecov.podMetadata" $scope | nindent 6 }}
    spec:
      {{- include "codecov.podSpec" $scope | nindent 6 }}
{{- if $service.port }}
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
{{- end }}
{{- if not $idle }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "codecov.name" $scope }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready anyway does not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "codecov.selector" $scope | nindent 6 }}
{{- if $service.autoscaling.enabled }}
---
{{- $live := lookup "autoscaling/v2" "HorizontalPodAutoscaler" $.Release.Namespace (include "codecov.name" $scope) | default dict }}
{{- $scheduled := dig "metadata" "annotations" "covstack.selfhosted/scheduled-minimum" "" $live }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "codecov.name" $scope }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "codecov.name" $scope }}}
  # What the schedule set last stays until it sets another.
  minReplicas: {{ if and $.Values.schedule.entries $scheduled }}{{ min (int $scheduled) (int $service.autoscaling.maximum) }}{{ else }}{{ $service.autoscaling.minimum }}{{ end }}
  maxReplicas: {{ $service.autoscaling.maximum }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ $service.autoscaling.cpuPercent }}}}
  behavior:
    # A worker that goes finishes its tasks first, and a lull is short: go down slowly.
    scaleDown:
      stabilizationWindowSeconds: 300
      policies: [{type: Percent, value: 50, periodSeconds: 120}]
{{- end }}
{{- end }}
{{- end }}
{{- end }}
