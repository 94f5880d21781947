{{- $entry := include "codecov.entry" . }}
{{- $port := (index .Values.services $entry).port }}
{{- $serving := include "codecov.servingSlot" . }}
{{- $scope := dict "root" . "name" $entry }}
{{- $expose := .Values.expose }}
---
# What is called by the name of the release: the slot that serves. Switching it is one change of a selector.
apiVersion: v1
kind: Service
metadata:
  name: {{ .Values.name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "codecov.labels" $scope | nindent 4 }}
  {{- if eq $expose.type "load_balancer" }}
  {{- with $expose.loadBalancer.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
spec:
  type: {{ ternary "LoadBalancer" "ClusterIP" (eq $expose.type "load_balancer") }}
  {{- if eq $expose.type "load_balancer" }}
  {{- with $expose.loadBalancer.sourceRanges }}
  loadBalancerSourceRanges: {{ toJson . }}
  {{- end }}
  {{- end }}
  selector:
    {{- include "codecov.selector" (dict "root" . "name" $entry "slot" $serving) | nindent 4 }}
  ports:
    - {name: http, port: {{ ternary (ternary 443 80 (eq .Values.url.scheme "https")) 80 (eq $expose.type "load_balancer") }}, targetPort: main, protocol: TCP}
{{- if eq $expose.type "ingress" }}
{{- include "codecov.ingress" (dict "root" . "ingress" .Values.name "host" .Values.url.hostname "service" .Values.name "port" 80 "storage" $expose.storage) }}
{{- end }}
{{- range $slot, $given := .Values.slots }}
{{- $service := include "codecov.name" (dict "root" $ "name" $entry "slot" $slot) }}
{{- if and (eq $expose.type "ingress") (ne $slot $serving) (gt (int $given.weight) 0) }}
{{- $canary := dict "nginx.ingress.kubernetes.io/canary" "true" "nginx.ingress.kubernetes.io/canary-weight" (toString $given.weight) }}
{{- include "codecov.ingress" (dict "root" $ "ingress" $service "host" $.Values.url.hostname "service" $service "port" $port "annotations" $canary) }}
{{- end }}
{{- if and (eq $expose.type "ingress") $given.host }}
{{- include "codecov.ingress" (dict "root" $ "ingress" (printf "%s-own" $service) "host" $given.host "service" $service "port" $port "slot" $slot) }}
{{- end }}
{{- if and (eq $expose.type "gateway") $given.host }}
{{- include "codecov.route" (dict "root" $ "route" $service "host" $given.host "backends" (list (dict "name" $service "port" $port))) }}
{{- end }}
{{- end }}
{{- if eq $expose.type "gateway" }}
{{- $backends := list }}
{{- range $slot, $given := .Values.slots }}
{{- if or (gt (int $given.weight) 0) (eq $slot $serving) }}
{{- $backends = append $backends (dict "name" (include "codecov.name" (dict "root" $ "name" $entry "slot" $slot)) "port" $port "weight" (int $given.weight)) }}
{{- end }}
{{- end }}
{{- include "codecov.route" (dict "root" . "route" .Values.name "host" .Values.url.hostname "backends" $backends "storage" $expose.storage) }}
{{- end }}

{{- define "codecov.storageBackend" -}}
{{- $name := .storage.service -}}
{name: {{ include "codecov.name" (dict "root" .root "name" $name) }}, port: {{ (index .root.Values.platform $name).port }}}
{{- end }}

{{/* cert-manager makes one certificate for one Secret, so a host name of a slot's own has one of its own. */}}
{{- define "codecov.ingress" }}
{{- $given := .root.Values.expose.ingress }}
{{- $tlsSecret := $given.tlsSecret }}
{{- if and .slot $given.issuer }}{{ $tlsSecret = printf "%s-%s" $tlsSecret .slot }}{{ end }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ .ingress }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "codecov.labels" (dict "root" .root "name" "ingress") | nindent 4 }}
  {{- $issuer := ternary (dict "cert-manager.io/cluster-issuer" $given.issuer) dict (and (ne $given.issuer "") (not (hasKey . "annotations"))) }}
  {{- with merge (dict) (.annotations | default dict) $issuer $given.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with $given.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with $tlsSecret }}
  tls:
    - {hosts: [{{ $.host }}], secretName: {{ . }}}
  {{- end }}
  rules:
    - host: {{ .host }}
      http:
        paths:
          {{- if .storage }}
          {{- $storage := .storage }}
          - path: {{ $storage.path }}
            pathType: Prefix
            backend:
              service:
                name: {{ include "codecov.name" (dict "root" .root "name" $storage.service) }}
                port: {name: main}
          {{- end }}
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{ .service }}
                port: {number: {{ .port }}}
{{- end }}

{{- define "codecov.route" }}
{{- $given := .root.Values.expose.gateway }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {{ .route }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "codecov.labels" (dict "root" .root "name" "route") | nindent 4 }}
spec:
  parentRefs:
    - name: {{ $given.name }}
      {{- with $given.namespace }}
      namespace: {{ . }}
      {{- end }}
      {{- with $given.section }}
      sectionName: {{ . }}
      {{- end }}
  hostnames: [{{ .host }}]
  rules:
    {{- with .storage }}
    - matches: [{path: {type: PathPrefix, value: {{ .path }}}}]
      backendRefs: [{{ include "codecov.storageBackend" (dict "root" $.root "storage" .) }}]
    {{- end }}
    - matches: [{path: {type: PathPrefix, value: /}}]
      backendRefs:
        {{- range .backends }}
        - {{ toJson . }}
        {{- end }}
{{- end }}
