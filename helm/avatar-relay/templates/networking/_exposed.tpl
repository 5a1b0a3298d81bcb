{{/*
What is published: gateways for viewers, and control for backends that are not in the cluster. As JSON,
{"gateway": {"port": 8080, ...}}: the values of `ingress` or `httpRoute` for each component that is enabled there.
*/}}
{{- define "avatar-relay.exposed" -}}
{{- $exposed := dict -}}
{{- range $name := list "gateway" "control" -}}
{{- $component := index $.exposure $name -}}
{{- if $component.enabled -}}
{{- $_ := set $exposed $name $component -}}
{{- end -}}
{{- end -}}
{{- if not $exposed -}}
{{- fail (printf "%s.enabled publishes nothing: turn on %s.gateway.enabled or %s.control.enabled" .path .path .path) -}}
{{- end -}}
{{- toJson $exposed -}}
{{- end -}}

{{- define "avatar-relay.usesTls" -}}
{{- if include "avatar-relay.tlsSecret" (dict "root" .root "name" .name "values" (index .root.Values .name)) -}}true{{- end -}}
{{- end -}}

{{/* How long a balancer may wait for a pod that ends: its drain. */}}
{{- define "avatar-relay.drainSeconds" -}}
{{- $drain := (index .root.Values .name).drain -}}
{{- add (int .root.Values.shutdown.preStopSeconds) (int (ceil $drain.acceptSeconds)) (int (ceil $drain.seconds)) -}}
{{- end -}}

{{/* The health check of balancers that probe pods themselves, as GKE's objects have it. */}}
{{- define "avatar-relay.gkeHealthTimes" -}}
checkIntervalSec: 5
timeoutSec: 2
healthyThreshold: 1
unhealthyThreshold: 2
{{- end -}}

{{/* Annotations that the traffic's Service needs for the way it is published. */}}
{{- define "avatar-relay.exposureAnnotations" -}}
{{- $ingress := .root.Values.ingress -}}
{{- if and $ingress.enabled (eq $ingress.controller "gke") (has .name (list "gateway" "control")) -}}
{{- if (index $ingress .name).enabled }}
cloud.google.com/neg: '{"ingress": true}'
cloud.google.com/backend-config: {{ dict "default" (include "avatar-relay.componentName" .) | toJson | squote }}
{{- if include "avatar-relay.usesTls" . }}
cloud.google.com/app-protocols: '{"http": "HTTPS"}'
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
