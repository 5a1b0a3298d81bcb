{{/* Checks across values, which the schema cannot make: each fails with the value's name, what is wrong, and the fix. */}}

{{- define "avatar-relay.checks" -}}
{{- include "avatar-relay.checkSettings" (dict "path" "settings" "settings" .Values.settings) -}}
{{- include "avatar-relay.checkSettings" (dict "path" "jobs.settings" "settings" .Values.jobs.settings) -}}
{{- range $path, $values := dict "gateway" .Values.gateway "control" .Values.control "ingest" .Values.ingest "simulator" .Values.simulator
  "jobs.worker" .Values.jobs.worker "jobs.beat" .Values.jobs.beat "jobs.dispatcher" .Values.jobs.dispatcher -}}
{{- include "avatar-relay.checkSettings" (dict "path" (printf "%s.settings" $path) "settings" $values.settings) -}}
{{- include "avatar-relay.checkStrategy" (dict "path" $path "strategy" $values.updateStrategy) -}}
{{- end -}}
{{- include "avatar-relay.checkSecrets" . -}}
{{- include "avatar-relay.checkRedis" . -}}
{{- include "avatar-relay.checkUrls" . -}}
{{- include "avatar-relay.checkJobs" . -}}
{{- include "avatar-relay.checkNetwork" . -}}
{{- end -}}

{{/* By variable, the value that sets it. One name in two places would be two truths, so the map refuses it. */}}
{{- define "avatar-relay.owned" -}}
RELAY_ADMIN_HOST: global.listenAddress
RELAY_ADMIN_PORT: nothing, the admin port is 9090
RELAY_API_KEYS: the Secret of auth.existingSecret
RELAY_CLIPS: clips.enabled
RELAY_CONTROL_HOST: global.listenAddress
RELAY_CONTROL_PORT: control.service.port, the container listens at 8081
RELAY_DRAIN_ACCEPT_S: drain.acceptSeconds of each component, from which the grace period is computed
RELAY_DRAIN_S: drain.seconds of each component, from which the grace period is computed
RELAY_GATEWAY_HOST: global.listenAddress
RELAY_GATEWAY_PORT: gateway.service.port, the container listens at 8080
RELAY_GATEWAY_URL: gateway.publicUrl
RELAY_JOBS: jobs.enabled
RELAY_JOBS_BROKER_URL: jobs.broker
RELAY_KEY_PREFIX: redis.keyPrefix
RELAY_PARTITIONS: redis.partitions
RELAY_RECORDINGS_S3_ENDPOINT: recordings.s3.endpoint
RELAY_RECORDINGS_S3_KEY_ID: the Secret of recordings.s3.existingSecret
RELAY_RECORDINGS_S3_REGION: recordings.s3.region
RELAY_RECORDINGS_S3_SECRET: the Secret of recordings.s3.existingSecret
RELAY_RECORDINGS_URL: recordings.url
RELAY_REDIS_CA_FILE: redis.tls
RELAY_REDIS_CREDENTIAL_PROVIDER: redis.credentialProvider
RELAY_REDIS_NODE_ADDRESSES: redis.nodeAddresses
RELAY_REDIS_PASSWORD: the Secret of redis.existingSecret
RELAY_REDIS_URL: redis.url
RELAY_REDIS_USERNAME: redis.username
RELAY_SESSION_TOKENS: control.sessionTokens
RELAY_SIMULATOR_HOST: global.listenAddress
RELAY_SIMULATOR_PORT: simulator.service.port, the container listens at 8082
RELAY_TLS_ADMIN: tls.admin
RELAY_TLS_CERT: tls.existingSecret
RELAY_TLS_KEY: tls.existingSecret
RELAY_TOKEN_KEYS_DIR: auth.tokenKeysSecret
RELAY_TOKEN_SECRET: the Secret of auth.existingSecret
RELAY_WEBHOOKS_FILE: webhooks.endpoints
RELAY_WEBHOOK_HOSTS: webhooks.hosts
SPATIUS_API_KEY: the Secret of vendor.existingSecret
SPATIUS_APP_ID: vendor.appId
SPATIUS_AVATAR_ID: vendor.avatarId
SPATIUS_CONSOLE_ENDPOINT: vendor.consoleEndpoint
SPATIUS_INGRESS_ENDPOINT: vendor.ingressEndpoint
SPATIUS_REGION: vendor.region
{{- end -}}

{{- define "avatar-relay.checkSettings" -}}
{{- $owned := fromYaml (include "avatar-relay.owned" .) -}}
{{- range $name, $value := .settings -}}
{{- if and (hasKey $owned $name) (include "avatar-relay.text" $value) -}}
{{- fail (printf "\n%s.%s: this chart sets the variable; use instead: %s" $.path $name (index $owned $name)) -}}
{{- end -}}
{{- if regexMatch "^OTEL_EXPORTER_OTLP_(.*_)?HEADERS$" $name -}}
{{- fail (printf "\n%s.%s: headers can have credentials; name a Secret in extraEnv instead: valueFrom.secretKeyRef" $.path $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.checkStrategy" -}}
{{- if and (has (toString .strategy.maxSurge) (list "0" "0%")) (has (toString .strategy.maxUnavailable) (list "0" "0%")) -}}
{{- fail (printf "\n%s.updateStrategy: maxSurge and maxUnavailable are both 0, so that no pod could be replaced; set maxSurge to 1 or more" .path) -}}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.checkSecrets" -}}
{{- $simulated := include "avatar-relay.simulatorEnabled" . -}}
{{- if not (include "avatar-relay.authSecret" .) -}}
{{- fail "\nauth.existingSecret is missing: create a Secret with RELAY_API_KEYS (avatar-relay keys new) and RELAY_TOKEN_SECRET (32 characters or more), and name it; or set demo.enabled=true to try the relay" -}}
{{- end -}}
{{- if and (not .Values.auth.keys.apiKeys) .Values.auth.existingSecret -}}
{{- fail "\nauth.keys.apiKeys is blank: control does not start without API keys; name the key of the Secret that has them" -}}
{{- end -}}
{{- if and (not .Values.auth.keys.tokenSecret) (not .Values.auth.tokenKeysSecret) -}}
{{- fail "\nauth.keys.tokenSecret is blank, and there is no auth.tokenKeysSecret: viewer tokens need one of them" -}}
{{- end -}}
{{- if not $simulated -}}
{{- if not .Values.vendor.existingSecret -}}
{{- fail "\nvendor.existingSecret is missing: create a Secret with SPATIUS_API_KEY, and name it; or set simulator.enabled=true" -}}
{{- end -}}
{{- if not .Values.vendor.appId -}}
{{- fail "\nvendor.appId is missing: the vendor's app id, which ingest does not start without; or set simulator.enabled=true" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.checkRedis" -}}
{{- $redis := .Values.redis -}}
{{- $urlInSecret := and $redis.existingSecret $redis.keys.url -}}
{{- if and $redis.url (not (regexMatch "^rediss?(\\+sentinel|\\+cluster)?://." $redis.url)) -}}
{{- fail "\nredis.url begins with no scheme of Redis: use redis://, redis+sentinel:// or redis+cluster://, or rediss for TLS" -}}
{{- end -}}
{{- if regexMatch "://[^/?]*@|[?&]((sentinel_)?password|ssl_password)=" (default "" $redis.url) -}}
{{- fail "\nredis.url has credentials, which every reader of the Deployment would see: put the password into a Secret, name it in redis.existingSecret, and the user in redis.username" -}}
{{- end -}}
{{- if and $redis.url $urlInSecret -}}
{{- fail "\nredis.url and redis.keys.url are both set: keep the one that is right" -}}
{{- end -}}
{{- if not (or $redis.url $urlInSecret .Values.demo.enabled) -}}
{{- fail "\nredis.url is missing: redis://host:6379/0, or redis.keys.url with redis.existingSecret; this chart installs no Redis but the demo's" -}}
{{- end -}}
{{- if and (or $redis.keys.url $redis.keys.username) (not $redis.existingSecret) -}}
{{- fail "\nredis.keys names a key of the Secret, and redis.existingSecret is missing" -}}
{{- end -}}
{{- if and $redis.username $redis.keys.username $redis.existingSecret -}}
{{- fail "\nredis.username and redis.keys.username are both set: keep the one that is right" -}}
{{- end -}}
{{- if and $urlInSecret $redis.keys.password -}}
{{- fail "\nredis.keys.url and redis.keys.password are both set: a URL with credentials allows no others; set redis.keys.password to \"\", or give the URL in redis.url" -}}
{{- end -}}
{{- with $redis.tls -}}
{{- if and .caSecret .caConfigMap -}}
{{- fail "\nredis.tls.caSecret and redis.tls.caConfigMap are both set: keep one" -}}
{{- end -}}
{{- if and (or .caSecret .caConfigMap) (not $urlInSecret) (not (hasPrefix "rediss" (default "" $redis.url))) -}}
{{- fail "\nredis.tls has authorities, and redis.url is not one of TLS: begin it with rediss" -}}
{{- end -}}
{{- end -}}
{{- if and $redis.credentialProvider (or $redis.username $redis.existingSecret) -}}
{{- fail "\nredis.credentialProvider gives user and password, so redis.username and redis.existingSecret must be blank" -}}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.checkUrls" -}}
{{- $url := include "avatar-relay.gatewayUrl" . -}}
{{- if not $url -}}
{{- fail "\ngateway.publicUrl is missing: the URL where viewers connect, as wss://relay.example.com, which control returns to backends" -}}
{{- end -}}
{{- if not (regexMatch "^wss?://[^/]" $url) -}}
{{- fail (printf "\ngateway.publicUrl is %q: it must begin with wss://, or ws:// without TLS" $url) -}}
{{- end -}}
{{- if and .Values.recordings.url (not (regexMatch "^s3://[a-z0-9]" .Values.recordings.url)) -}}
{{- fail (printf "\nrecordings.url is %q: it must be s3://bucket/prefix; leave it blank for a volume (recordings.persistence)" .Values.recordings.url) -}}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.checkJobs" -}}
{{- $values := .Values -}}
{{- $endpoints := include "avatar-relay.webhooksVolume" . -}}
{{- if not $values.jobs.enabled -}}
{{- range $name, $on := dict "recordings.enabled" $values.recordings.enabled "clips.enabled" $values.clips.enabled "webhooks.endpoints" $endpoints -}}
{{- if $on -}}
{{- fail (printf "\n%s is set, and jobs are off, which do this work: set jobs.enabled=true" $name) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- if and $endpoints (not $values.webhooks.hosts) -}}
{{- fail "\nwebhooks.hosts is missing: the hosts that webhooks may be sent to; there is no default" -}}
{{- end -}}
{{- if gt (len (compact (list (ternary "endpoints" "" (not (empty $values.webhooks.endpoints))) $values.webhooks.endpointsConfigMap $values.webhooks.endpointsSecret))) 1 -}}
{{- fail "\nwebhooks: endpoints, endpointsConfigMap and endpointsSecret are places for the same file; keep one" -}}
{{- end -}}
{{- range $key, $list := $values.webhooks.endpoints -}}
{{- range $list -}}
{{- range default (list) .secrets -}}
{{- if not (hasPrefix "RELAY_WEBHOOK_SECRET" .) -}}
{{- fail (printf "\nwebhooks.endpoints.%s: secrets must name variables, RELAY_WEBHOOK_SECRET_..., of the Secret in webhooks.signingSecret; everybody can read a ConfigMap" $key) -}}
{{- end -}}
{{- if not $values.webhooks.signingSecret -}}
{{- fail (printf "\nwebhooks.signingSecret is missing: the Secret that has %s" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $values.jobs.broker -}}
{{- if and .url .existingSecret -}}
{{- fail "\njobs.broker.url and jobs.broker.existingSecret are both set: keep one" -}}
{{- end -}}
{{- if regexMatch "://[^/?]*@" (default "" .url) -}}
{{- fail "\njobs.broker.url has credentials: put the URL into a Secret, and name it in jobs.broker.existingSecret" -}}
{{- end -}}
{{- if and (contains "+cluster:" (default "" $values.redis.url)) (not .url) (not .existingSecret) -}}
{{- fail "\njobs.broker is missing: redis.url is a cluster, which Celery cannot use; name one server or sentinels in jobs.broker.url" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.checkNetwork" -}}
{{- if and (eq (default "" .Values.global.ipFamilyPolicy) "SingleStack") (gt (len .Values.global.ipFamilies) 1) -}}
{{- fail "\nglobal.ipFamilies has two families, and global.ipFamilyPolicy is SingleStack: use PreferDualStack, or one family" -}}
{{- end -}}
{{- if and .Values.tls.admin (not .Values.tls.existingSecret) -}}
{{- fail "\ntls.admin is on, and tls.existingSecret is missing: every component needs a certificate for its admin port" -}}
{{- end -}}
{{- end -}}
