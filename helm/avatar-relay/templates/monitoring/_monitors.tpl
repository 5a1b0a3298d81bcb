{{/*
What is scraped: (list of (dict "job" "gateway" "components" (list "gateway"))). One job for each service of one relay, as the
rules expect; the roles of jobs are one.
*/}}
{{- define "avatar-relay.scrapes" -}}
{{- $scrapes := list -}}
{{- range list "gateway" "control" "ingest" -}}
{{- $scrapes = append $scrapes (dict "job" . "components" (list .)) -}}
{{- end -}}
{{- if .Values.jobs.enabled -}}
{{- $scrapes = append $scrapes (dict "job" "jobs" "components" (list "jobs-beat" "jobs-dispatcher" "jobs-worker")) -}}
{{- end -}}
{{- if include "avatar-relay.simulatorEnabled" . -}}
{{- $scrapes = append $scrapes (dict "job" "simulator" "components" (list "simulator")) -}}
{{- end -}}
{{- toJson (dict "scrapes" $scrapes) -}}
{{- end -}}

{{/* Metadata of an object that Prometheus's operator or Grafana's sidecar finds by labels. */}}
{{- define "avatar-relay.foundMetadata" -}}
name: {{ .objectName }}
namespace: {{ default .root.Release.Namespace .found.namespace }}
labels:
  {{- include "avatar-relay.labels" . | nindent 2 }}
  {{- with .found.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .found.annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "avatar-relay.scrapeEndpoint" -}}
- port: admin
  path: /metrics
  {{- $https := and .root.Values.tls.admin (ne .name "simulator") }}
  scheme: {{ ternary "https" "http" $https }}
  {{- if $https }}
  tlsConfig:
    {{- toYaml .found.tlsConfig | nindent 4 }}
  {{- end }}
  interval: {{ .found.interval }}
  scrapeTimeout: {{ .found.scrapeTimeout }}
  relabelings:
    - targetLabel: job
      replacement: {{ printf "%s/%s" .root.Release.Namespace .objectName }}
    {{- with .found.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .found.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "avatar-relay.scrapeSelector" -}}
matchLabels:
  app.kubernetes.io/name: {{ include "avatar-relay.name" .root }}
  app.kubernetes.io/instance: {{ .root.Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values:
      {{- toYaml .scrape.components | nindent 6 }}
{{- end -}}
