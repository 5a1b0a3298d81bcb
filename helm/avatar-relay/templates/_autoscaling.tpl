{{/* Autoscalers: at most one for a component, since two would change the same number of pods. */}}

{{- define "avatar-relay.hpa" -}}
{{- $scaling := .values.autoscaling -}}
{{- if dig "keda" "enabled" false .values -}}
{{- fail (printf "%s.autoscaling.enabled and %s.keda.enabled: two autoscalers would change the same number of pods; turn one off" .name .name) -}}
{{- end -}}
{{- $metrics := list -}}
{{- with $scaling.targetCPUPercent -}}
{{- $metrics = append $metrics (dict "type" "Resource" "resource" (dict "name" "cpu" "target" (dict "type" "Utilization" "averageUtilization" .))) -}}
{{- end -}}
{{- with dig "targetViewers" "" $scaling -}}
{{- $metric := dict "metric" (dict "name" $scaling.viewersMetric) "target" (dict "type" "AverageValue" "averageValue" (toString .)) -}}
{{- $metrics = append $metrics (dict "type" "Pods" "pods" $metric) -}}
{{- end -}}
{{- $metrics = concat $metrics $scaling.extraMetrics -}}
{{- if not $metrics -}}
{{- fail (printf "%s.autoscaling: nothing to scale on; set targetCPUPercent%s or extraMetrics" .name (ternary ", targetViewers" "" (hasKey $scaling "targetViewers"))) -}}
{{- end -}}
{{- include "avatar-relay.checkReplicas" (dict "path" (printf "%s.autoscaling" .name) "scaling" $scaling) -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "avatar-relay.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "avatar-relay.componentName" . }}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    {{- toYaml $metrics | nindent 4 }}
  behavior:
    {{- include "avatar-relay.behavior" $scaling | nindent 4 }}
{{- end -}}

{{- define "avatar-relay.checkReplicas" -}}
{{- if gt (int .scaling.minReplicas) (int .scaling.maxReplicas) -}}
{{- fail (printf "%s.maxReplicas is less than minReplicas" .path) -}}
{{- end -}}
{{- end -}}

{{/* Up at once, down one pod at a time: each pod that ends moves its viewers, or hands its conversations over. */}}
{{- define "avatar-relay.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - type: Percent
      value: 100
      periodSeconds: 30
    - type: Pods
      value: 2
      periodSeconds: 30
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDown.stabilizationSeconds }}
  selectPolicy: Min
  policies:
    - type: Pods
      value: {{ .scaleDown.pods }}
      periodSeconds: {{ .scaleDown.periodSeconds }}
{{- end -}}
