{{/*
Annotations of each controller, for what its defaults break: a socket is silent between two pings (25 s), stays open for
hours, and a whole turn is posted to control in one body. (dict "root" $ "name" "gateway")

Traefik needs none: it has no limit of bodies, and its time-outs are those of its entry points.
*/}}
{{- define "avatar-relay.ingressPreset" -}}
{{- $ingress := .root.Values.ingress -}}
{{- if $ingress.controller -}}
{{- include (printf "avatar-relay.ingressPreset.%s" $ingress.controller) . -}}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.ingressPreset.nginx" -}}
{{- $ingress := .root.Values.ingress }}
nginx.ingress.kubernetes.io/proxy-http-version: "1.1"
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ $ingress.idleSeconds | quote }}
nginx.ingress.kubernetes.io/proxy-send-timeout: {{ $ingress.idleSeconds | quote }}
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-body-size: {{ $ingress.bodyMiB }}m
nginx.ingress.kubernetes.io/proxy-request-buffering: "off"
{{- if include "avatar-relay.usesTls" . }}
nginx.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
{{- end -}}

{{- define "avatar-relay.ingressPreset.traefik" -}}
{{- if include "avatar-relay.usesTls" . }}
traefik.ingress.kubernetes.io/service.serversscheme: https
{{- end }}
{{- end -}}

{{/* Two controllers have this name, each with a prefix of its own; the other's annotations have no effect. */}}
{{- define "avatar-relay.ingressPreset.haproxy" -}}
{{- $ingress := .root.Values.ingress }}
haproxy.org/timeout-tunnel: {{ $ingress.idleSeconds }}s
haproxy.org/timeout-server: {{ $ingress.idleSeconds }}s
haproxy-ingress.github.io/timeout-tunnel: {{ $ingress.idleSeconds }}s
haproxy-ingress.github.io/timeout-server: {{ $ingress.idleSeconds }}s
haproxy-ingress.github.io/proxy-body-size: {{ $ingress.bodyMiB }}m
{{- if include "avatar-relay.usesTls" . }}
haproxy.org/server-ssl: "true"
haproxy-ingress.github.io/secure-backends: "true"
{{- end }}
{{- end -}}

{{/* The balancer takes bodies of any size; it closes what is silent for 60 s unless told otherwise, at most for 4000 s. */}}
{{- define "avatar-relay.ingressPreset.alb" -}}
{{- $ingress := .root.Values.ingress }}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/backend-protocol: {{ ternary "HTTPS" "HTTP" (ne (include "avatar-relay.usesTls" .) "") }}
alb.ingress.kubernetes.io/healthcheck-protocol: {{ ternary "HTTPS" "HTTP" (ne (include "avatar-relay.usesTls" .) "") }}
alb.ingress.kubernetes.io/healthcheck-port: traffic-port
alb.ingress.kubernetes.io/healthcheck-path: /healthz
alb.ingress.kubernetes.io/healthcheck-interval-seconds: "5"
alb.ingress.kubernetes.io/healthcheck-timeout-seconds: "2"
alb.ingress.kubernetes.io/healthy-threshold-count: "2"
alb.ingress.kubernetes.io/unhealthy-threshold-count: "2"
alb.ingress.kubernetes.io/success-codes: "200"
alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds={{ min (int $ingress.idleSeconds) 4000 }}
alb.ingress.kubernetes.io/target-group-attributes: deregistration_delay.timeout_seconds={{ include "avatar-relay.drainSeconds" . }},load_balancing.algorithm.type=least_outstanding_requests
{{- end -}}

{{/* Its settings are those of the BackendConfig. */}}
{{- define "avatar-relay.ingressPreset.gke" -}}
{{- end -}}
