{{- define "codecov.networkPolicy" }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .policy | default (printf "%s-%s" .root.Values.name .name) }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "codecov.labels" . | nindent 4 }}
{{- end }}

{{- if .Values.networkPolicies.enabled }}
{{- $policies := .Values.networkPolicies }}
{{- $services := merge (dict) .Values.services .Values.platform }}
{{- $storage := dig "storage" "service" "" .Values.expose }}
{{- range $name, $service := $services }}
{{- $scope := dict "root" $ "name" $name "service" $service }}
{{- $public := or $service.entry (eq $name $storage) }}
---
# Who shares a network with it may connect to its port; so may, to what is public, the ingress. All other ports of the image stay closed.
{{- include "codecov.networkPolicy" $scope }}
spec:
  podSelector:
    matchLabels:
      {{- include "codecov.selector" $scope | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    {{- if $service.port }}
    - ports: [{port: {{ $service.port }}, protocol: {{ $service.protocol }}}]
      {{- if not (and $public (not $policies.ingressFrom)) }}
      from:
        {{- range $service.networks }}
        - podSelector: {matchLabels: {app.kubernetes.io/instance: {{ $.Values.name }}, network.covstack.selfhosted/{{ . }}: "true"}}
        {{- end }}
        {{- if $public }}
        {{- range $policies.ingressFrom }}
        - {{ toJson . }}
        {{- end }}
        {{- end }}
      {{- end }}
    {{- end }}
    {{- if and $service.metricsPort $policies.metricsFrom }}
    - ports: [{port: {{ $service.metricsPort }}, protocol: TCP}]
      from:
        {{- range $policies.metricsFrom }}
        - {{ toJson . }}
        {{- end }}
    {{- end }}
    {{- if not (or $service.port (and $service.metricsPort $policies.metricsFrom)) }}
    []
    {{- end }}
{{- end }}
{{- range $name, $service := $services }}
{{- if not $service.config }}
{{- $scope := dict "root" $ "name" $name "service" $service "policy" (printf "%s-%s-out" $.Values.name $name) }}
---
# Only what reads codecov.yml must get out (git providers, external data services). The rest calls its neighbours, and asks for names.
{{- include "codecov.networkPolicy" $scope }}
spec:
  podSelector:
    matchLabels:
      {{- include "codecov.selector" $scope | nindent 6 }}
  policyTypes: [Egress]
  egress:
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    - to:
        {{- range $service.networks }}
        - podSelector: {matchLabels: {app.kubernetes.io/instance: {{ $.Values.name }}, network.covstack.selfhosted/{{ . }}: "true"}}
        {{- end }}
{{- end }}
{{- end }}
{{- end }}
