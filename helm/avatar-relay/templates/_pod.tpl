{{/* The Deployment of a part: see avatar-relay.settings for what a part is. "port" is its traffic, "args" its role. */}}

{{/*
Seconds between the deletion of a pod and SIGKILL. The clock starts before preStop. After SIGTERM the process accepts
connections (RELAY_DRAIN_ACCEPT_S), drains (RELAY_DRAIN_S), waits for the last closing handshakes or returns its tasks
(closeSeconds), and exports its last spans (traceFlushSeconds).
*/}}
{{- define "avatar-relay.gracePeriod" -}}
{{- with .root.Values.shutdown -}}
{{- int (ceil (addf .preStopSeconds $.values.drain.acceptSeconds $.values.drain.seconds .closeSeconds .traceFlushSeconds .marginSeconds)) -}}
{{- end -}}
{{- end -}}

{{/* Waits before SIGTERM: endpoints and balancers lose a pod while it terminates, at no known time. Needs no shell. */}}
{{- define "avatar-relay.lifecycle" -}}
{{- with .root.Values.shutdown.preStopSeconds }}
lifecycle:
  preStop:
    {{- if semverCompare ">=1.30-0" $.root.Capabilities.KubeVersion.Version }}
    sleep:
      seconds: {{ . }}
    {{- else }}
    exec:
      command: ["python", "-c", "import time; time.sleep({{ . }})"]
    {{- end }}
{{- end }}
{{- end -}}

{{- define "avatar-relay.probe" -}}
httpGet:
  path: {{ .path }}
  port: admin
  {{- if .https }}
  scheme: HTTPS
  {{- end }}
{{ toYaml .probe }}
{{- end -}}

{{/* Three questions: has it started, may it receive traffic, does its event loop run. Only the second asks for Redis. */}}
{{- define "avatar-relay.probes" -}}
{{- $https := and .root.Values.tls.admin (ne (include "avatar-relay.tlsSecret" .) "") -}}
{{- with .root.Values.probes }}
startupProbe:
  {{- include "avatar-relay.probe" (dict "path" "/livez" "probe" .startup "https" $https) | nindent 2 }}
readinessProbe:
  {{- include "avatar-relay.probe" (dict "path" "/readyz" "probe" .readiness "https" $https) | nindent 2 }}
livenessProbe:
  {{- include "avatar-relay.probe" (dict "path" "/livez" "probe" .liveness "https" $https) | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Spreads a part's pods over machines, and over zones where one has to wait for them; each revision on its own, so that a roll does
not skew it. A machine that is drained does not count, else the pods of two machines could not move to one.
*/}}
{{- define "avatar-relay.topologySpread" -}}
{{- $constraints := list -}}
{{- $zone := ternary "DoNotSchedule" "" (eq (toString .values.topologySpread.zone) "DoNotSchedule") -}}
{{- range $key, $when := dict "topology.kubernetes.io/zone" $zone "kubernetes.io/hostname" .values.topologySpread.host -}}
{{- if $when -}}
{{- $constraints = append $constraints (dict
  "topologyKey" $key "maxSkew" 1 "whenUnsatisfiable" $when "matchLabelKeys" (list "pod-template-hash") "nodeTaintsPolicy" "Honor"
  "labelSelector" (dict "matchLabels" (fromYaml (include "avatar-relay.selectorLabels" $)))
) -}}
{{- end -}}
{{- end -}}
{{- with $constraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The affinity of a part, with a preference for other zones. It is no constraint of topologySpread: the scheduler ignores a machine
that lacks the label of one soft constraint in all others, so that machines without zones would not be spread at all.
*/}}
{{- define "avatar-relay.affinity" -}}
{{- $affinity := deepCopy (default .root.Values.affinity .values.affinity) -}}
{{- if and (eq (toString .values.topologySpread.zone) "ScheduleAnyway") (not (hasKey $affinity "podAntiAffinity")) -}}
{{- $term := dict "topologyKey" "topology.kubernetes.io/zone" "labelSelector" (dict "matchLabels" (fromYaml (include "avatar-relay.selectorLabels" $))) -}}
{{- $preferred := list (dict "weight" 100 "podAffinityTerm" $term) -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" $preferred) -}}
{{- end -}}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Volumes of a part, and where they are mounted: (list of {name, mountPath, readOnly, source}) as YAML. */}}
{{- define "avatar-relay.volumeList" -}}
{{- $values := .root.Values -}}
- name: tmp
  mountPath: /tmp
  source:
    emptyDir:
      sizeLimit: {{ $values.tmpSizeLimit }}
{{- with include "avatar-relay.secretSources" . }}
- name: secrets
  mountPath: /etc/relay/secrets
  readOnly: true
  source:
    projected:
      defaultMode: 0440
      sources:
        {{- . | nindent 8 }}
{{- end }}
{{- if and (has .service (list "gateway" "control")) $values.auth.tokenKeysSecret }}
- name: token-keys
  mountPath: /etc/relay/token-keys
  readOnly: true
  source:
    secret:
      secretName: {{ $values.auth.tokenKeysSecret }}
      defaultMode: 0440
{{- end }}
{{- with include "avatar-relay.tlsSecret" . }}
- name: tls
  mountPath: /etc/relay/tls
  readOnly: true
  source:
    secret:
      secretName: {{ . }}
      defaultMode: 0440
{{- end }}
{{- if ne .service "simulator" }}
{{- with $values.redis.tls }}
{{- if or .caSecret .caConfigMap }}
- name: redis-ca
  mountPath: /etc/relay/redis-ca
  readOnly: true
  source:
    {{- if .caSecret }}
    secret:
      secretName: {{ .caSecret }}
      items: [{key: {{ .caKey }}, path: ca.crt}]
    {{- else }}
    configMap:
      name: {{ .caConfigMap }}
      items: [{key: {{ .caKey }}, path: ca.crt}]
    {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq .service "jobs" }}
{{- with include "avatar-relay.webhooksVolume" .root }}
- name: webhooks
  mountPath: /etc/relay/webhooks
  readOnly: true
  source:
    {{- . | nindent 4 }}
{{- end }}
{{- if and $values.recordings.enabled (not $values.recordings.url) }}
- name: recordings
  mountPath: /var/lib/relay/recordings
  source:
    persistentVolumeClaim:
      claimName: {{ default (printf "%s-recordings" (include "avatar-relay.fullname" .root)) $values.recordings.persistence.existingClaim }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "avatar-relay.volumeMounts" -}}
{{- range fromYamlArray (include "avatar-relay.volumeList" .) }}
- {{ omit . "source" | toYaml | nindent 2 | trim }}
{{- end }}
{{- with concat .root.Values.extraVolumeMounts .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "avatar-relay.volumes" -}}
{{- range fromYamlArray (include "avatar-relay.volumeList" .) }}
- name: {{ .name }}
  {{- toYaml .source | nindent 2 }}
{{- end }}
{{- with concat .root.Values.extraVolumes .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What a pod does not show of its configuration: a change of it has to roll the pods. */}}
{{- define "avatar-relay.podAnnotations" -}}
{{- $annotations := merge (dict) .values.podAnnotations .root.Values.podAnnotations .root.Values.commonAnnotations -}}
{{- $config := dict -}}
{{- if eq .service "jobs" -}}
{{- $_ := set $config "webhooks" .root.Values.webhooks.endpoints -}}
{{- end -}}
{{- if and .root.Values.demo.enabled (has .service (list "gateway" "control")) (not .root.Values.auth.existingSecret) -}}
{{- $_ := set $config "demo" (include "avatar-relay.demoKeys" .root) -}}
{{- end -}}
checksum/config: {{ merge $config (fromJson (include "avatar-relay.settings" .)) | toJson | sha256sum }}
{{- with $annotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "avatar-relay.podSpec" -}}
{{- $root := .root -}}
serviceAccountName: {{ include "avatar-relay.serviceAccountName" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "avatar-relay.imagePullSecrets" $root }}
{{- with $root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $root.Values.global.priorityClassName .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
terminationGracePeriodSeconds: {{ include "avatar-relay.gracePeriod" . }}
containers:
  - name: {{ .service }}
    image: {{ include "avatar-relay.image" (dict "root" $root "image" .service) }}
    imagePullPolicy: {{ include "avatar-relay.imagePullPolicy" $root }}
    {{- with .args }}
    args:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    env:
      {{- include "avatar-relay.env" . | nindent 6 }}
    ports:
      {{- with .port }}
      - name: http
        containerPort: {{ . }}
        protocol: TCP
      {{- end }}
      - name: admin
        containerPort: 9090
        protocol: TCP
    {{- include "avatar-relay.probes" . | nindent 4 }}
    {{- include "avatar-relay.lifecycle" . | nindent 4 }}
    {{- with .values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $root.Values.containerSecurityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
      {{- include "avatar-relay.volumeMounts" . | nindent 6 }}
volumes:
  {{- include "avatar-relay.volumes" . | nindent 2 }}
{{- include "avatar-relay.topologySpread" . }}
{{- with default $root.Values.nodeSelector .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $root.Values.tolerations .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "avatar-relay.affinity" . }}
{{- end -}}

{{- define "avatar-relay.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "avatar-relay.metadata" . | nindent 2 }}
spec:
  {{- if not (or (dig "autoscaling" "enabled" false .values) (dig "keda" "enabled" false .values)) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: {{ .root.Values.revisionHistoryLimit }}
  minReadySeconds: {{ .values.updateStrategy.minReadySeconds }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: {{ .values.updateStrategy.maxSurge }}
      maxUnavailable: {{ .values.updateStrategy.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "avatar-relay.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "avatar-relay.podLabels" . | nindent 8 }}
      annotations:
        {{- include "avatar-relay.podAnnotations" . | nindent 8 }}
    spec:
      {{- include "avatar-relay.podSpec" . | nindent 6 }}
{{- end -}}
