{{- /* A setting as the text of its variable. Helm holds whole numbers as floats, which would print as 2e+09. */ -}}
{{- define "glimpse.text" -}}
{{- if kindIs "slice" . -}}
{{ join "," . }}
{{- else if kindIs "string" . -}}
{{ . }}
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}

{{- define "glimpse.gateway.drainSeconds" -}}
{{ .Values.gateway.settings.server.drain_seconds | ceil | int64 }}
{{- end -}}

{{- define "glimpse.gateway.graceSeconds" -}}
{{- $flush := dig "telemetry" "otlp_flush_seconds" 3 .Values.gateway.settings | ceil | int64 -}}
{{- $derived := add (include "glimpse.gateway.drainSeconds" .) .Values.gateway.preStopSeconds $flush 12 -}}
{{ default $derived (int64 .Values.gateway.terminationGracePeriodSeconds) }}
{{- end -}}

{{- /* Non-empty where clients without a certificate get no connection. */ -}}
{{- define "glimpse.tls.mutual" -}}
{{- if and .Values.tls.clientCa.existingSecret (ne (dig "tls" "client_mode" "required" .Values.gateway.settings) "optional") -}}
true
{{- end -}}
{{- end -}}

{{- define "glimpse.scheme" -}}
{{ ternary "HTTPS" "HTTP" (ne .Values.tls.existingSecret "") }}
{{- end -}}

{{- define "glimpse.triton.address" -}}
{{- if eq .Values.triton.mode "external" -}}
{{ .Values.triton.external.address }}
{{- else if eq .Values.triton.mode "sidecar" -}}
127.0.0.1:8001
{{- else -}}
{{ include "glimpse.triton.headless" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:8001
{{- end -}}
{{- end -}}

{{- /* Names under which the service may be asked: none given, all; a name with a wildcard cannot be listed. */ -}}
{{- define "glimpse.hosts" -}}
{{- $own := list -}}
{{- if .Values.route.http.enabled }}{{ $own = concat $own .Values.route.http.hostnames }}{{ end -}}
{{- if and .Values.ingress.enabled .Values.ingress.httpHost }}{{ $own = append $own .Values.ingress.httpHost }}{{ end -}}
{{- $own = concat $own (dig "server" "allowed_hosts" list .Values.gateway.settings) -}}
{{- if and $own (not (contains "*" (join "," $own))) -}}
{{- $name := include "glimpse.fullname" . -}}
{{- $ns := .Release.Namespace -}}
{{- range list $name (printf "%s.%s" $name $ns) (printf "%s.%s.svc" $name $ns) (printf "%s.%s.svc.%s" $name $ns .Values.clusterDomain) -}}
{{- $own = append $own . -}}
{{- end -}}
{{ $own | uniq | join "," }}
{{- else if has "*" $own -}}
*
{{- end -}}
{{- end -}}

{{- /* Every GLIMPSE_ variable of the gateway, as a map: the settings that were given, then what the chart decides. */ -}}
{{- define "glimpse.gateway.environment" -}}
{{- $variables := dict -}}
{{- range $group, $fields := .Values.gateway.settings -}}
{{- range $field, $value := $fields -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $variables (printf "GLIMPSE_%s__%s" $group $field | upper) (include "glimpse.text" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $own := dict
  "GLIMPSE_SERVER__HOST" .Values.gateway.listenAddress
  "GLIMPSE_SERVER__PORT" "8080"
  "GLIMPSE_SERVER__GRPC_PORT" "8081"
  "GLIMPSE_BACKEND__KIND" (ternary "local" "triton" (eq .Values.triton.mode "none"))
-}}
{{- with include "glimpse.hosts" . }}{{ $_ := set $own "GLIMPSE_SERVER__ALLOWED_HOSTS" . }}{{ end -}}
{{- if include "glimpse.models.mounted" . }}{{ $_ := set $own "GLIMPSE_BACKEND__REPOSITORY" "/models" }}{{ end -}}
{{- if ne .Values.triton.mode "none" -}}
{{- $_ := set $own "GLIMPSE_BACKEND__TRITON_ADDRESS" (include "glimpse.triton.address" .) -}}
{{- if .Values.triton.tls.existingSecret -}}
{{- $_ := set $own "GLIMPSE_BACKEND__TRITON_CA" "/etc/glimpse/triton-tls/ca.crt" -}}
{{- if .Values.triton.tls.clientCertificate -}}
{{- $_ := set $own "GLIMPSE_BACKEND__TRITON_CERTIFICATE" "/etc/glimpse/triton-tls/tls.crt" -}}
{{- $_ := set $own "GLIMPSE_BACKEND__TRITON_KEY" "/etc/glimpse/triton-tls/tls.key" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.auth -}}
{{- $asks := ternary true false (or (ne .keys.existingSecret "") (ne .jwt.issuer "")) -}}
{{- $_ := set $own "GLIMPSE_ACCESS__REQUIRE_AUTH" (ternary $asks .required (kindIs "invalid" .required) | toString) -}}
{{- if .keys.existingSecret }}{{ $_ := set $own "GLIMPSE_ACCESS__KEYS_FILE" (printf "/etc/glimpse/keys/%s" .keys.key) }}{{ end -}}
{{- if .jwt.issuer -}}
{{- $_ := set $own "GLIMPSE_ACCESS__JWT_ISSUER" .jwt.issuer -}}
{{- $_ := set $own "GLIMPSE_ACCESS__JWT_AUDIENCE" .jwt.audience -}}
{{- $_ := set $own "GLIMPSE_ACCESS__JWT_JWKS" (ternary (printf "/etc/glimpse/jwks/%s" .jwt.key) .jwt.jwksUrl (ne .jwt.existingSecret "")) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $own "GLIMPSE_ACCESS__OPEN_METRICS" (toString .Values.metrics.open) -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $own "GLIMPSE_TLS__CERTIFICATE" "/etc/glimpse/tls/tls.crt" -}}
{{- $_ := set $own "GLIMPSE_TLS__KEY" "/etc/glimpse/tls/tls.key" -}}
{{- if .Values.tls.clientCa.existingSecret -}}
{{- $_ := set $own "GLIMPSE_TLS__CLIENT_CA" (printf "/etc/glimpse/client-ca/%s" .Values.tls.clientCa.key) -}}
{{- end -}}
{{- end -}}
{{- if .Values.mllm.existingSecret }}{{ $_ := set $own "GLIMPSE_MLLM__API_KEY_FILE" (printf "/etc/glimpse/mllm/%s" .Values.mllm.key) }}{{ end -}}
{{- toYaml (mergeOverwrite $variables $own) -}}
{{- end -}}

{{- /* Named by its contents: pods of both sides of a roll-out keep theirs, and a change of settings is a roll-out. */ -}}
{{- define "glimpse.gateway.settingsName" -}}
{{ include "glimpse.fullname" . }}-settings-{{ include "glimpse.gateway.environment" . | sha256sum | trunc 10 }}
{{- end -}}

{{- /* Requests are typical; the limit is what the service can come to by its own limits, so that the kernel ends no pod for memory
       that a worker would have been refused, which costs one request and is answered. */ -}}
{{- define "glimpse.gateway.resources" -}}
{{- if .Values.gateway.resources -}}
{{ toYaml .Values.gateway.resources }}
{{- else -}}
{{- $settings := .Values.gateway.settings -}}
{{- $memory := .Values.gateway.memory -}}
{{- $workers := add (int64 $settings.workers.count) (int64 $settings.workers.spare) -}}
{{- $streams := add1 (int64 $settings.live.max_streams) -}}
{{- $each := div (int64 $settings.workers.memory_bytes) 1048576 -}}
{{- $uploads := div (int64 $settings.limits.buffered_bytes) 1048576 -}}
{{- $process := add (int64 $memory.processMiB) (int64 $memory.tmpMiB) -}}
requests:
  cpu: {{ int64 $settings.workers.count | quote }}
  memory: {{ add $process (mul $workers (int64 $memory.workerMiB)) (mul $streams (int64 $memory.streamMiB)) }}Mi
limits:
  cpu: {{ add1 (int64 $settings.workers.count) | quote }}
  memory: {{ add $process $uploads (mul (add $workers $streams) $each) }}Mi
{{- end -}}
{{- end -}}
