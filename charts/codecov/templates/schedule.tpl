{{- $full := printf "%s-schedule" .Values.name }}
{{- $service := index .Values.services .Values.schedule.service }}
{{- if .Values.schedule.entries }}
{{/* What there is to scale: service -> names of its autoscalers. */}}
{{- $scaled := dict }}
{{- range $name, $service := .Values.services }}
{{- range $slot, $_ := $.Values.slots }}
{{- $scope := dict "root" $ "name" $name "service" $service "slot" $slot }}
{{- if not (include "codecov.idle" $scope) }}{{ $_ := set $scaled $name (append (get $scaled $name | default list) (include "codecov.name" $scope)) }}{{ end }}
{{- end }}
{{- end }}
{{- $scope := dict "root" . "name" "schedule" }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $full }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $full }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
rules:
  - apiGroups: [autoscaling]
    resources: [horizontalpodautoscalers]
    resourceNames:
      {{- range $scaled }}
      {{- range . }}
      - {{ . }}
      {{- end }}
      {{- end }}
    verbs: [get, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $full }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $full }}}
subjects:
  - {kind: ServiceAccount, name: {{ $full }}, namespace: {{ .Release.Namespace }}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $full }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
data:
  set_minimum.py: |
    {{- .Files.Get "files/set_minimum.py" | nindent 4 }}
{{- range .Values.schedule.entries }}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ $full }}-{{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
spec:
  schedule: {{ .cron | quote }}
  timeZone: {{ .timeZone }}
  concurrencyPolicy: Replace
  startingDeadlineSeconds: 600
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 3
      activeDeadlineSeconds: 300
      template:
        metadata:
          labels:
            {{- include "codecov.labels" $scope | nindent 12 }}
        spec:
          restartPolicy: Never
          serviceAccountName: {{ $full }}
          # The one pod that talks to the API server: it may read and change the scaling of this release.
          automountServiceAccountToken: true
          enableServiceLinks: false
          {{- include "codecov.placement" $ | nindent 10 }}
          securityContext:
            {{- include "codecov.podSecurity" $service | nindent 12 }}
          containers:
            - name: set-minimum
              # An image that is on the nodes anyway, for its Python.
              image: {{ include "codecov.image" (dict "root" $ "name" $.Values.schedule.service "service" $service) }}
              imagePullPolicy: {{ $.Values.images.pullPolicy }}
              {{- $arguments := list }}
              {{- range $name, $minimum := .minimum }}
              {{- range get $scaled $name }}
              {{- $arguments = append $arguments (printf "%s=%d" . (int $minimum)) }}
              {{- end }}
              {{- end }}
              command: {{ concat (list $.Values.schedule.python "/covstack/set_minimum.py" $.Release.Namespace) $arguments | toJson }}
              resources:
                requests: {cpu: 50m, memory: 64Mi}
                limits: {cpu: 500m, memory: 64Mi}
              securityContext:
                {{- include "codecov.containerSecurity" (dict "readOnlyRoot" true) | nindent 16 }}
              volumeMounts:
                - {name: script, mountPath: /covstack, readOnly: true}
          volumes:
            - name: script
              configMap: {name: {{ $full }}, defaultMode: 0444}
{{- end }}
{{- end }}
