{{- /* Files of Secrets, as whole folders: a single mounted file would not change when its Secret does. */ -}}
{{- define "glimpse.gateway.secrets" -}}
{{- $files := list -}}
{{- with .Values.auth.keys.existingSecret }}{{ $files = append $files (dict "name" "keys" "secret" .) }}{{ end -}}
{{- with .Values.auth.jwt.existingSecret }}{{ $files = append $files (dict "name" "jwks" "secret" .) }}{{ end -}}
{{- with .Values.tls.existingSecret }}{{ $files = append $files (dict "name" "tls" "secret" .) }}{{ end -}}
{{- with .Values.tls.clientCa.existingSecret }}{{ $files = append $files (dict "name" "client-ca" "secret" .) }}{{ end -}}
{{- if include "glimpse.tls.mutual" . -}}
{{- with .Values.tls.probeSecret }}{{ $files = append $files (dict "name" "probe" "secret" .) }}{{ end -}}
{{- end -}}
{{- with .Values.mllm.existingSecret }}{{ $files = append $files (dict "name" "mllm" "secret" .) }}{{ end -}}
{{- if ne .Values.triton.mode "none" -}}
{{- with .Values.triton.tls.existingSecret }}{{ $files = append $files (dict "name" "triton-tls" "secret" .) }}{{ end -}}
{{- end -}}
{{- toYaml (dict "files" $files) -}}
{{- end -}}

{{- define "glimpse.gateway.probe" -}}
{{- if eq .path "" -}}
tcpSocket: {port: http}
{{- else -}}
httpGet: {path: {{ .path }}, port: http, scheme: {{ include "glimpse.scheme" .root }}}
{{- end }}
{{ toYaml .timing }}
{{- end -}}

{{- define "glimpse.gateway.probes" -}}
{{- $probes := .Values.gateway.probes -}}
{{- if include "glimpse.tls.mutual" . -}}
# The kubelet has no certificate to show; only a command in the container has one.
startupProbe:
  {{- include "glimpse.gateway.probe" (dict "root" . "path" "" "timing" $probes.startup) | nindent 2 }}
livenessProbe:
  {{- include "glimpse.gateway.probe" (dict "root" . "path" "" "timing" $probes.liveness) | nindent 2 }}
readinessProbe:
  {{- if .Values.tls.probeSecret }}
  exec:
    command:
      - glimpse
      - health
      - --ready
      - --client-certificate=/etc/glimpse/probe/tls.crt
      - --client-key=/etc/glimpse/probe/tls.key
  {{- toYaml $probes.command | nindent 2 }}
  {{- else }}
  {{- include "glimpse.gateway.probe" (dict "root" . "path" "" "timing" $probes.readiness) | nindent 2 }}
  {{- end }}
{{- else -}}
startupProbe:
  {{- include "glimpse.gateway.probe" (dict "root" . "path" "/livez" "timing" $probes.startup) | nindent 2 }}
livenessProbe:
  {{- include "glimpse.gateway.probe" (dict "root" . "path" "/livez" "timing" $probes.liveness) | nindent 2 }}
readinessProbe:
  {{- if eq $probes.readinessProtocol "grpc" }}
  grpc: {port: 8081}
  {{- toYaml $probes.readiness | nindent 2 }}
  {{- else }}
  {{- include "glimpse.gateway.probe" (dict "root" . "path" "/readyz" "timing" $probes.readiness) | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}
