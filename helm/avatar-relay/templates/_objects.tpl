{{/* The Service and the PodDisruptionBudget of a part. */}}

{{- define "avatar-relay.service" -}}
{{- $global := .root.Values.global -}}
{{- with .values.service -}}
apiVersion: v1
kind: Service
metadata:
  {{- $published := include "avatar-relay.exposureAnnotations" $ | fromYaml }}
  {{- include "avatar-relay.metadata" (merge (dict "annotations" (merge (dict) .annotations $published)) $) | nindent 2 }}
spec:
  type: {{ .type }}
  {{- with $global.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- with $global.ipFamilies }}
  ipFamilies:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .type "LoadBalancer" }}
  {{- with .loadBalancerClass }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- with .loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if ne .type "ClusterIP" }}
  {{- with .externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  {{- end }}
  selector:
    {{- include "avatar-relay.selectorLabels" $ | nindent 4 }}
  ports:
    - name: http
      port: {{ .port }}
      targetPort: http
      protocol: TCP
      {{- with .appProtocol }}
      appProtocol: {{ . }}
      {{- end }}
      {{- if and .nodePort (ne .type "ClusterIP") }}
      nodePort: {{ .nodePort }}
      {{- end }}
{{- end -}}
{{- end -}}

{{- define "avatar-relay.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "avatar-relay.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .values.pdb.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "avatar-relay.selectorLabels" . | nindent 6 }}
{{- end -}}
