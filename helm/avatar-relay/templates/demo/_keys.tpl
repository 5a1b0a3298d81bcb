{{/*
The demo's keys, as JSON: made once, and read back from the cluster at every upgrade. `lookup` rather than a Job of a hook,
since a Job would need the right to write Secrets. Where nothing can be looked up (helm template, Argo CD) they are
made anew each time, which ends the demo's tokens and nothing else.
*/}}
{{- define "avatar-relay.demoKeys" -}}
{{- if not (hasKey .Values.demo "_keys") -}}
{{- $kept := lookup "v1" "Secret" .Release.Namespace (printf "%s-demo" (include "avatar-relay.fullname" .)) -}}
{{- if $kept -}}
{{- $_ := set .Values.demo "_keys" $kept.data -}}
{{- else -}}
{{- $id := lower (randAlphaNum 8) -}}
{{- $key := printf "ark_%s_%s" $id (randAlphaNum 43) -}}
{{- $_ := set .Values.demo "_keys" (dict
  "RELAY_API_KEY" ($key | b64enc)
  "RELAY_API_KEYS" (printf "%s:%s:admin" $id (sha256sum $key) | b64enc)
  "RELAY_TOKEN_SECRET" (randAlphaNum 48 | b64enc)
) -}}
{{- end -}}
{{- end -}}
{{- toJson .Values.demo._keys -}}
{{- end -}}
