{{/*
Settings: the environment and the files of secrets of one part.

A part is (dict "root" $ "name" "jobs-worker" "service" "jobs" "values" .Values.jobs.worker): "name" is its component, "service"
its image, and the section of its settings. Sources, the later before the earlier: what the chart computes,
.Values.settings, .Values.jobs.settings for jobs, the component's settings. A blank value renders no variable.
*/}}

{{- define "avatar-relay.jobsEnabled" -}}{{- if .Values.jobs.enabled -}}true{{- end -}}{{- end -}}
{{- define "avatar-relay.simulatorEnabled" -}}{{- if or .Values.demo.enabled .Values.simulator.enabled -}}true{{- end -}}{{- end -}}
{{- define "avatar-relay.demoRedis" -}}
{{- if and .Values.demo.enabled (not .Values.redis.url) (not .Values.redis.existingSecret) -}}true{{- end -}}
{{- end -}}

{{/* The Secret of keys: yours, or the demo's. */}}
{{- define "avatar-relay.authSecret" -}}
{{- default (ternary (printf "%s-demo" (include "avatar-relay.fullname" .)) "" .Values.demo.enabled) .Values.auth.existingSecret -}}
{{- end -}}

{{/* The address to listen at: dual stack needs ::, which a node without IPv6 cannot bind. */}}
{{- define "avatar-relay.listen" -}}
{{- if .Values.global.listenAddress -}}
{{- .Values.global.listenAddress -}}
{{- else if or (has .Values.global.ipFamilyPolicy (list "PreferDualStack" "RequireDualStack")) (has "IPv6" .Values.global.ipFamilies) -}}
::
{{- else -}}
0.0.0.0
{{- end -}}
{{- end -}}

{{/* Where viewers connect, as control returns it to backends. */}}
{{- define "avatar-relay.gatewayUrl" -}}
{{- if .Values.gateway.publicUrl -}}
{{- .Values.gateway.publicUrl -}}
{{- else if .Values.demo.enabled -}}
ws://127.0.0.1:8080
{{- end -}}
{{- end -}}

{{/*
The Secret of a part's certificate: gateways and control serve TLS, and with tls.admin the others' admin ports do. Never the
simulator, whose traffic would be of TLS, too, with an authority that ingest would have to trust.
*/}}
{{- define "avatar-relay.tlsSecret" -}}
{{- if or (has .name (list "gateway" "control")) (and .root.Values.tls.admin (ne .name "simulator")) -}}
{{- default .root.Values.tls.existingSecret (dig "tls" "existingSecret" "" .values) -}}
{{- end -}}
{{- end -}}

{{/* A value as the text of a variable: whole numbers in digits, however large, and lists comma-separated. */}}
{{- define "avatar-relay.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{- printf "%.0f" . -}}{{- else -}}{{- . -}}{{- end -}}
{{- else if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if not (kindIs "invalid" .) -}}
{{- toString . | trim -}}
{{- end -}}
{{- end -}}

{{/* What the chart computes for a part, as JSON. */}}
{{- define "avatar-relay.computed" -}}
{{- $values := .root.Values -}}
{{- $full := include "avatar-relay.fullname" .root -}}
{{- $listen := include "avatar-relay.listen" .root -}}
{{- $tls := include "avatar-relay.tlsSecret" . -}}
{{- $simulated := include "avatar-relay.simulatorEnabled" .root -}}
{{- $simulator := printf "%s-simulator:%v" $full $values.simulator.service.port -}}
{{- $env := dict
  "RELAY_ADMIN_HOST" $listen
  "RELAY_ADMIN_PORT" 9090
  "RELAY_DRAIN_ACCEPT_S" .values.drain.acceptSeconds
  "RELAY_DRAIN_S" .values.drain.seconds
-}}
{{- if include "avatar-relay.secretSources" . -}}
{{- $_ := set $env "RELAY_SECRETS_DIR" "/etc/relay/secrets" -}}
{{- end -}}
{{- if $tls -}}
{{- $_ := set $env "RELAY_TLS_CERT" "/etc/relay/tls/tls.crt" -}}
{{- $_ := set $env "RELAY_TLS_KEY" "/etc/relay/tls/tls.key" -}}
{{- $_ := set $env "RELAY_TLS_ADMIN" (ternary "true" "" $values.tls.admin) -}}
{{- end -}}
{{- if ne .service "simulator" -}}
{{- $redis := $values.redis -}}
{{- $url := ternary (printf "redis://%s-redis:6379/0" $full) $redis.url (eq (include "avatar-relay.demoRedis" .root) "true") -}}
{{- $env = merge $env (dict
  "RELAY_REDIS_URL" (ternary $url "" (or (empty $redis.existingSecret) (empty $redis.keys.url)))
  "RELAY_REDIS_USERNAME" $redis.username
  "RELAY_REDIS_CA_FILE" (ternary "" "/etc/relay/redis-ca/ca.crt" (and (empty $redis.tls.caSecret) (empty $redis.tls.caConfigMap)))
  "RELAY_REDIS_NODE_ADDRESSES" $redis.nodeAddresses
  "RELAY_REDIS_CREDENTIAL_PROVIDER" $redis.credentialProvider
  "RELAY_KEY_PREFIX" $redis.keyPrefix
  "RELAY_PARTITIONS" $redis.partitions
  "RELAY_JOBS" (ternary "true" "" (eq (include "avatar-relay.jobsEnabled" .root) "true"))
) -}}
{{- end -}}
{{- if has .service (list "gateway" "control" "ingest") -}}
{{- $vendor := $values.vendor -}}
{{- $env = merge $env (dict
  "SPATIUS_APP_ID" (default (ternary "simulated-app" "" (eq $simulated "true")) $vendor.appId)
  "SPATIUS_AVATAR_ID" (default (ternary "simulated-avatar" "" (eq $simulated "true")) $vendor.avatarId)
  "SPATIUS_REGION" $vendor.region
) -}}
{{- end -}}
{{- if has .service (list "control" "ingest") -}}
{{- $_ := set $env "SPATIUS_CONSOLE_ENDPOINT" (default (ternary (printf "http://%s/v1/console" $simulator) "" (eq $simulated "true")) $values.vendor.consoleEndpoint) -}}
{{- if and $simulated (not $values.vendor.existingSecret) (or (eq .service "ingest") $values.control.sessionTokens) -}}
{{- $_ := set $env "SPATIUS_API_KEY" "simulated-key" -}}
{{- end -}}
{{- end -}}
{{- if eq .service "ingest" -}}
{{- $_ := set $env "SPATIUS_INGRESS_ENDPOINT" (default (ternary (printf "ws://%s/v2/driveningress" $simulator) "" (eq $simulated "true")) $values.vendor.ingressEndpoint) -}}
{{- end -}}
{{- if eq .service "gateway" -}}
{{- $_ := set $env "RELAY_GATEWAY_HOST" $listen -}}
{{- $_ := set $env "RELAY_GATEWAY_PORT" 8080 -}}
{{- end -}}
{{- if eq .service "control" -}}
{{- $_ := set $env "RELAY_CONTROL_HOST" $listen -}}
{{- $_ := set $env "RELAY_CONTROL_PORT" 8081 -}}
{{- $_ := set $env "RELAY_SESSION_TOKENS" (ternary "true" "" $values.control.sessionTokens) -}}
{{- $_ := set $env "RELAY_GATEWAY_URL" (include "avatar-relay.gatewayUrl" .root) -}}
{{- end -}}
{{- if eq .service "simulator" -}}
{{- $_ := set $env "RELAY_SIMULATOR_HOST" $listen -}}
{{- $_ := set $env "RELAY_SIMULATOR_PORT" 8082 -}}
{{- end -}}
{{- if and (has .service (list "gateway" "control")) $values.auth.tokenKeysSecret -}}
{{- $_ := set $env "RELAY_TOKEN_KEYS_DIR" "/etc/relay/token-keys" -}}
{{- end -}}
{{- if has .service (list "control" "jobs") -}}
{{- $_ := set $env "RELAY_RECORDINGS_URL" (include "avatar-relay.recordingsUrl" .root) -}}
{{- $_ := set $env "RELAY_CLIPS" (ternary "true" "" $values.clips.enabled) -}}
{{- end -}}
{{- if eq .service "jobs" -}}
{{- $s3 := $values.recordings.s3 -}}
{{- $_ := set $env "RELAY_RECORDINGS_S3_ENDPOINT" $s3.endpoint -}}
{{- $_ := set $env "RELAY_RECORDINGS_S3_REGION" $s3.region -}}
{{- if include "avatar-relay.webhooksVolume" .root -}}
{{- $_ := set $env "RELAY_WEBHOOKS_FILE" (printf "/etc/relay/webhooks/%s" $values.webhooks.key) -}}
{{- $_ := set $env "RELAY_WEBHOOK_HOSTS" $values.webhooks.hosts -}}
{{- end -}}
{{- $_ := set $env "RELAY_JOBS_BROKER_URL" $values.jobs.broker.url -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/* Every setting of a part by its name, as JSON; blank ones are left out. */}}
{{- define "avatar-relay.settings" -}}
{{- $layers := list (fromJson (include "avatar-relay.computed" .)) .root.Values.settings -}}
{{- if eq .service "jobs" -}}
{{- $layers = append $layers .root.Values.jobs.settings -}}
{{- end -}}
{{- $texts := dict -}}
{{- range append $layers .values.settings -}}
{{- range $name, $value := . -}}
{{- with include "avatar-relay.text" $value -}}
{{- $_ := set $texts $name . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $texts -}}
{{- end -}}

{{/* The list of variables of a part, sorted by name; extraEnv at its end. */}}
{{- define "avatar-relay.env" -}}
{{- range $name, $value := fromJson (include "avatar-relay.settings" .) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with concat .root.Values.extraEnv .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where recordings are stored; empty: nowhere. */}}
{{- define "avatar-relay.recordingsUrl" -}}
{{- if .Values.recordings.enabled -}}
{{- default "/var/lib/relay/recordings" .Values.recordings.url -}}
{{- end -}}
{{- end -}}

{{/* The object that has the file of webhook endpoints, as the source of a volume. */}}
{{- define "avatar-relay.webhooksVolume" -}}
{{- with .Values.webhooks -}}
{{- if .endpointsSecret -}}
secret:
  secretName: {{ .endpointsSecret }}
  defaultMode: 0440
{{- else if .endpointsConfigMap -}}
configMap:
  name: {{ .endpointsConfigMap }}
{{- else if .endpoints -}}
configMap:
  name: {{ include "avatar-relay.fullname" $ }}-webhooks
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The sources of the volume of secrets: files rather than variables, so that no child process, core dump or "describe"
has them, and so that credentials of Redis are read again for each connection.
*/}}
{{- define "avatar-relay.secretSources" -}}
{{- $values := .root.Values -}}
{{- if and (has .service (list "gateway" "control")) (or (eq .service "control") (not $values.auth.tokenKeysSecret)) }}
- secret:
    name: {{ include "avatar-relay.authSecret" .root }}
    items:
      {{- if eq .service "control" }}
      - {key: {{ $values.auth.keys.apiKeys }}, path: RELAY_API_KEYS}
      {{- end }}
      {{- if not $values.auth.tokenKeysSecret }}
      - {key: {{ $values.auth.keys.tokenSecret }}, path: RELAY_TOKEN_SECRET}
      {{- end }}
{{- end }}
{{- if and $values.redis.existingSecret (ne .service "simulator") }}
- secret:
    name: {{ $values.redis.existingSecret }}
    items:
      {{- with $values.redis.keys }}
      {{- if .url }}
      - {key: {{ .url }}, path: RELAY_REDIS_URL}
      {{- end }}
      {{- if .username }}
      - {key: {{ .username }}, path: RELAY_REDIS_USERNAME}
      {{- end }}
      {{- if .password }}
      - {key: {{ .password }}, path: RELAY_REDIS_PASSWORD}
      {{- end }}
      {{- end }}
{{- end }}
{{- if and $values.vendor.existingSecret (or (eq .service "ingest") (and (eq .service "control") $values.control.sessionTokens)) }}
- secret:
    name: {{ $values.vendor.existingSecret }}
    items:
      - {key: {{ $values.vendor.keys.apiKey }}, path: SPATIUS_API_KEY}
{{- end }}
{{- if eq .service "jobs" }}
{{- with $values.jobs.broker }}
{{- if .existingSecret }}
- secret:
    name: {{ .existingSecret }}
    items:
      - {key: {{ .key }}, path: RELAY_JOBS_BROKER_URL}
{{- end }}
{{- end }}
{{- with $values.recordings.s3 }}
{{- if and $values.recordings.enabled .existingSecret }}
- secret:
    name: {{ .existingSecret }}
    items:
      - {key: {{ .keys.id }}, path: RELAY_RECORDINGS_S3_KEY_ID}
      - {key: {{ .keys.secret }}, path: RELAY_RECORDINGS_S3_SECRET}
{{- end }}
{{- end }}
{{- with $values.webhooks.signingSecret }}
- secret:
    name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
