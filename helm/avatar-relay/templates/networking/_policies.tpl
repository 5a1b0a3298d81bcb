{{/* A rule's peers and ports: (dict "direction" "to" "peers" (list) "ports" (list 443)); no peers: everywhere on these ports. */}}
{{- define "avatar-relay.policyRule" -}}
- ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: {{ default "TCP" $.protocol }}
    {{- end }}
    {{- if $.both }}
    {{- range .ports }}
    - port: {{ . }}
      protocol: UDP
    {{- end }}
    {{- end }}
  {{- with .peers }}
  {{ $.direction }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A component of this release, as a peer. */}}
{{- define "avatar-relay.peer" -}}
podSelector:
  matchLabels:
    {{- include "avatar-relay.selectorLabels" . | nindent 4 }}
{{- end -}}

{{/* Every pod of this release, as a peer: helm test and the demo speak to gateways and control. */}}
{{- define "avatar-relay.releasePeer" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/name: {{ include "avatar-relay.name" . }}
    app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The ports in texts like redis://one:6379,two:6380/0, as JSON; 6379 where a text has none. */}}
{{- define "avatar-relay.portsIn" -}}
{{- $ports := list -}}
{{- range . -}}
{{- $found := regexFindAll ":[0-9]+([,/?]|$)" . -1 -}}
{{- range $found -}}
{{- $ports = append $ports (regexFind "[0-9]+" . | int) -}}
{{- end -}}
{{- if or (not $found) (contains "sentinel" .) -}}
{{- $ports = append $ports 6379 -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* Rules of what a component connects to. */}}
{{- define "avatar-relay.policyEgress" -}}
{{- $egress := .root.Values.networkPolicy.egress -}}
{{- $settings := include "avatar-relay.settings" . | fromJson -}}
{{ include "avatar-relay.policyRule" (dict "direction" "to" "peers" $egress.dns.to "ports" $egress.dns.ports "both" true) }}
{{- if ne .service "simulator" }}
{{- if include "avatar-relay.demoRedis" .root }}
{{ include "avatar-relay.policyRule" (dict "direction" "to" "peers" (list (include "avatar-relay.peer" (dict "root" .root "name" "redis") | fromYaml)) "ports" (list 6379)) }}
{{- else }}
{{- $texts := list .root.Values.redis.url -}}
{{- with .root.Values.redis.nodeAddresses }}{{- $texts = append $texts . }}{{- end }}
{{- if eq .service "jobs" }}{{- with .root.Values.jobs.broker.url }}{{- $texts = append $texts . }}{{- end }}{{- end }}
{{- $ports := default (include "avatar-relay.portsIn" $texts | fromJsonArray) $egress.redis.ports }}
{{ include "avatar-relay.policyRule" (dict "direction" "to" "peers" $egress.redis.to "ports" $ports) }}
{{- end }}
{{- end }}
{{- if or (eq .service "ingest") (and (eq .service "control") .root.Values.control.sessionTokens) }}
{{- if include "avatar-relay.simulatorEnabled" .root }}
{{ include "avatar-relay.policyRule" (dict "direction" "to" "peers" (list (include "avatar-relay.peer" (dict "root" .root "name" "simulator") | fromYaml)) "ports" (list 8082)) }}
{{- else }}
{{ include "avatar-relay.policyRule" (dict "direction" "to" "peers" $egress.vendor.to "ports" $egress.vendor.ports) }}
{{- end }}
{{- end }}
{{- if eq .name "jobs-worker" }}
{{ include "avatar-relay.policyRule" (dict "direction" "to" "peers" $egress.webhooks.to "ports" $egress.webhooks.ports) }}
{{- if and .root.Values.recordings.enabled .root.Values.recordings.url }}
{{ include "avatar-relay.policyRule" (dict "direction" "to" "peers" $egress.storage.to "ports" $egress.storage.ports) }}
{{- end }}
{{- end }}
{{- if or (hasKey $settings "OTEL_EXPORTER_OTLP_ENDPOINT") (hasKey $settings "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") }}
{{ include "avatar-relay.policyRule" (dict "direction" "to" "peers" $egress.traces.to "ports" $egress.traces.ports) }}
{{- end }}
{{- with $egress.extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Rules of who connects to a component; nothing: nobody. The kubelet's probes are no matter of policies. */}}
{{- define "avatar-relay.policyIngress" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- $release := include "avatar-relay.releasePeer" .root | fromYaml -}}
{{- $open := dict "gateway" $policy.viewersFrom "control" $policy.backendsFrom -}}
{{- if hasKey $open .name }}
{{- $peers := index $open .name }}
{{ include "avatar-relay.policyRule" (dict "direction" "from" "peers" (ternary (append $peers $release) (list) (gt (len $peers) 0)) "ports" (list "http")) }}
{{- end }}
{{- if eq .name "simulator" }}
{{ include "avatar-relay.policyRule" (dict "direction" "from" "peers" (list $release) "ports" (list "http")) }}
{{- end }}
{{- $admin := $policy.monitoringFrom }}
{{- if and (eq .name "ingest") .root.Values.ingest.keda.enabled }}
{{- $admin = concat $admin $policy.kedaFrom }}
{{- end }}
{{- with $admin }}
{{ include "avatar-relay.policyRule" (dict "direction" "from" "peers" . "ports" (list "admin")) }}
{{- end }}
{{- end -}}
