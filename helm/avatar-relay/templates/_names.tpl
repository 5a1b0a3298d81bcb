{{/* Names, labels and images. Every helper accepts the root context, or a part: see avatar-relay.part. */}}

{{- define "avatar-relay.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The prefix of every object's name: the release's name where it and the chart's name contain each other, so that the
release "relay" has "relay-gateway". 46 characters, since "-jobs-dispatcher" follows and a label has at most 63.
*/}}
{{- define "avatar-relay.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if or (contains $name .Release.Name) (contains .Release.Name $name) -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that select: they never contain a version, since a Deployment's selector cannot change. */}}
{{- define "avatar-relay.selectorLabels" -}}
app.kubernetes.io/name: {{ include "avatar-relay.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "avatar-relay.commonLabels" -}}
helm.sh/chart: {{ include "avatar-relay.chart" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "avatar-relay.name" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of an object that belongs to one component: (dict "root" $ "name" "gateway"). */}}
{{- define "avatar-relay.labels" -}}
{{ include "avatar-relay.selectorLabels" . }}
{{ include "avatar-relay.commonLabels" .root }}
{{- end -}}

{{/* Labels of a component's pods, without the chart's version: a change of the chart alone need not replace them. */}}
{{- define "avatar-relay.podLabels" -}}
{{ include "avatar-relay.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "avatar-relay.name" .root }}
{{- with merge (dict) (dig "podLabels" (dict) (default (dict) .values)) .root.Values.podLabels .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The name of an object that belongs to one component. */}}
{{- define "avatar-relay.componentName" -}}
{{- printf "%s-%s" (include "avatar-relay.fullname" .root) .name -}}
{{- end -}}

{{/* Metadata of an object that belongs to one component; with "annotations" its own beside the common ones. */}}
{{- define "avatar-relay.metadata" -}}
name: {{ include "avatar-relay.componentName" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "avatar-relay.labels" . | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "avatar-relay.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "avatar-relay.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The image of one service: (dict "root" $ "image" "gateway"). A digest takes precedence over the tag. */}}
{{- define "avatar-relay.image" -}}
{{- $image := .root.Values.image -}}
{{- $registry := default $image.registry .root.Values.global.imageRegistry -}}
{{- $path := printf "%s/%s" $image.repository .image -}}
{{- $path = ternary $path (printf "%s/%s" $registry $path) (empty $registry) -}}
{{- with index $image.digests .image -}}
{{- printf "%s@%s" $path . -}}
{{- else -}}
{{- printf "%s:%s" $path (default $.root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* When nodes pull the relay's images. Without a registry they would ask Docker Hub, where the name is not the project's. */}}
{{- define "avatar-relay.imagePullPolicy" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry -}}
{{- default (ternary "Never" "IfNotPresent" (empty $registry)) .Values.image.pullPolicy -}}
{{- end -}}

{{/* An image of somebody else, which the global registry applies to, too: (dict "root" $ "image" "redis:7"). */}}
{{- define "avatar-relay.otherImage" -}}
{{- with .root.Values.global.imageRegistry -}}{{ . }}/{{- end -}}{{ .image }}
{{- end -}}

{{- define "avatar-relay.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.image.pullSecrets | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}
