{{/*
The pod of a service. Arguments: root, name, service, slot (none for the platform), and job: a job's command in the place of the service's own.
*/}}

{{- define "codecov.image" -}}
{{- $image := .service.image -}}
{{- if .slot -}}
{{- $image = merge (dict) (get (index .root.Values.slots .slot).images (.imageOf | default .name) | default dict) $image -}}
{{- end -}}
{{ $image.repository }}:{{ $image.tag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "codecov.probe" -}}
{{- if .path }}
httpGet:
  path: {{ .path | quote }}
  port: main
  httpHeaders:
    - {name: Host, value: {{ .hostname | quote }}}
{{- else }}
exec:
  command: {{ .command | toJson }}
{{- end }}
periodSeconds: {{ .period }}
timeoutSeconds: {{ .timeout }}
failureThreshold: {{ .failures }}
{{- end }}

{{/* Requests still come for a while after a pod was told to go; and a signal other than the image's own is sent from here. */}}
{{- define "codecov.preStop" -}}
{{- $stop := .service.stop -}}
{{- if ne $stop.signal "TERM" }}
preStop: {exec: {command: [sh, -c, "{{ with $stop.drain }}sleep {{ . }}; {{ end }}kill -s {{ $stop.signal }} 1; sleep {{ $stop.grace }}"]}}
{{- else if $stop.drain }}
preStop: {exec: {command: [sh, -c, "sleep {{ $stop.drain }}"]}}
{{- end }}
{{- end }}

{{- define "codecov.environment" -}}
{{- range $name, $value := .service.environment }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- range .service.upstreams }}
- {name: {{ .host }}, value: {{ include "codecov.name" (dict "root" $.root "name" .service "slot" $.slot) }}}
- {name: {{ .port }}, value: {{ (index $.root.Values.services .service).port | toString | quote }}}
{{- end }}
{{- end }}

{{- define "codecov.mounts" -}}
{{- $root := .root -}}
{{- range $index, $path := .service.writable }}
- {name: writable-{{ $index }}, mountPath: {{ $path }}}
{{- end }}
{{- if .service.sharedMemory }}
- {name: shared-memory, mountPath: /dev/shm}
{{- end }}
{{- range .service.volumes }}
- {name: {{ .name | replace "_" "-" }}, mountPath: {{ .path }}}
{{- end }}
{{- range $file, $path := .service.files }}
- {name: files, mountPath: {{ $path }}, subPath: {{ base $path }}, readOnly: true}
{{- end }}
{{- if .service.config }}
- {name: config, mountPath: {{ dir $root.Values.config.path }}, readOnly: true}
- {name: probe, mountPath: /covstack/probe.py, subPath: probe.py, readOnly: true}
{{- if $root.Values.ca.secretName }}
- {name: ca, mountPath: /covstack/tls, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "codecov.volumes" -}}
{{- $root := .root -}}
{{- range $index, $path := .service.writable }}
- {name: writable-{{ $index }}, emptyDir: {}}
{{- end }}
{{- with .service.sharedMemory }}
- {name: shared-memory, emptyDir: {medium: Memory, sizeLimit: {{ . }}}}
{{- end }}
{{- if .service.files }}
- name: files
  secret:
    secretName: {{ include "codecov.filesSecret" $root }}
    defaultMode: 0440
    items:
      {{- range $file, $path := .service.files }}
      - {key: {{ $file | replace "/" "." }}, path: {{ base $path }}}
      {{- end }}
{{- end }}
{{- if .service.config }}
- name: config
  secret:
    secretName: {{ .configSecret | default (include "codecov.configSecret" .) }}
    defaultMode: 0440
    items:
      - {key: codecov.yml, path: {{ base $root.Values.config.path }}}
- name: probe
  configMap:
    name: {{ .probeMap | default (printf "%s-probe" $root.Values.name) }}
    defaultMode: 0444
{{- with $root.Values.ca.secretName }}
- name: ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: {{ $root.Values.ca.key }}, path: ca-bundle.pem}
{{- end }}
{{- end }}
{{- end }}

{{- define "codecov.spread" -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: {{ if and (eq $.root.Values.scheduling.spread "hard") (eq . "kubernetes.io/hostname") }}DoNotSchedule{{ else }}ScheduleAnyway{{ end }}
  labelSelector:
    matchLabels:
      {{- include "codecov.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{- define "codecov.placement" -}}
{{- with .Values.scheduling }}
{{- with .priorityClass }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . }}}
  {{- end }}
{{- end }}
{{- end }}

{{- define "codecov.podSecurity" -}}
runAsNonRoot: true
{{- with .user }}
runAsUser: {{ . }}
{{- end }}
{{- with .group }}
runAsGroup: {{ . }}
{{- end }}
{{- with .group | default .user }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "codecov.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: {{ .readOnlyRoot }}
capabilities: {drop: [ALL]}
{{- end }}

{{- define "codecov.podMetadata" -}}
labels:
  {{- include "codecov.selector" . | nindent 2 }}
  {{- include "codecov.networks" . | nindent 2 }}
  {{- if .service.config }}
  {{- with .root.Values.identity.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .name }}
  {{- if .service.config }}
  covstack.selfhosted/config: {{ include "codecov.configChecksum" . }}
  covstack.selfhosted/probe: {{ .root.Files.Get "files/probe.py" | sha256sum | trunc 32 }}
  {{- end }}
  {{- if .service.files }}
  covstack.selfhosted/files: {{ .root.Values.files.checksum | default (sha256sum (printf "%s%s" (toJson .root.Values.files.content) (toJson .root.Values.secrets))) | trunc 32 }}
  {{- end }}
{{- end }}

{{- define "codecov.podSpec" -}}
{{- $service := .service -}}
serviceAccountName: {{ .serviceAccount | default (include "codecov.serviceAccount" .) }}
automountServiceAccountToken: false
# Addresses of services as variables would be taken for settings of the application.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $service.stop.grace }}
{{- include "codecov.placement" .root }}
securityContext:
  {{- include "codecov.podSecurity" $service | nindent 2 }}
{{- if and .slot (not .job) }}
topologySpreadConstraints:
  {{- include "codecov.spread" . | nindent 2 }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "codecov.selector" . | nindent 14 }}
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ include "codecov.image" . }}
    imagePullPolicy: {{ .root.Values.images.pullPolicy }}
    {{- if .job }}
    command: {{ toJson .job }}
    {{- else }}
    {{- with $service.command }}
    command: {{ toJson . }}
    {{- end }}
    {{- with $service.args }}
    args: {{ toJson . }}
    {{- end }}
    {{- end }}
    {{- with include "codecov.environment" . | trim }}
    env:
      {{- . | nindent 6 }}
    {{- end }}
    {{- if and (or $service.port $service.metricsPort) (not .job) }}
    ports:
      {{- with $service.port }}
      - {name: main, containerPort: {{ . }}, protocol: {{ $service.protocol }}}
      {{- end }}
      {{- with $service.metricsPort }}
      - {name: metrics, containerPort: {{ . }}, protocol: TCP}
      {{- end }}
    {{- end }}
    {{- if not .job }}
    {{- range $kind, $probe := $service.probes }}
    {{ $kind }}Probe:
      {{- include "codecov.probe" (merge (dict "hostname" $.root.Values.url.hostname) $probe) | trim | nindent 6 }}
    {{- end }}
    {{- $preStop := include "codecov.preStop" . | trim }}
    {{- if or $preStop $service.afterStart }}
    lifecycle:
      {{- with $service.afterStart }}
      postStart: {exec: {command: {{ toJson . }}}}
      {{- end }}
      {{- with $preStop }}
      {{- . | nindent 6 }}
      {{- end }}
    {{- end }}
    {{- end }}
    resources:
      {{- toYaml $service.resources | nindent 6 }}
    securityContext:
      {{- include "codecov.containerSecurity" $service | nindent 6 }}
    {{- with include "codecov.mounts" . | trim }}
    volumeMounts:
      {{- . | nindent 6 }}
    {{- end }}
{{- with include "codecov.volumes" . | trim }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/* One account a service, so that rights can be given to one alone; none of them has any in the cluster. */}}
{{- define "codecov.serviceAccount" -}}
{{ .root.Values.name }}-{{ .name }}
{{- end }}
