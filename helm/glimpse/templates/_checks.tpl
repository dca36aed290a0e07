{{- /* What a schema cannot say: values that contradict each other end the rendering with a sentence. */ -}}
{{- define "glimpse.checks" -}}
{{- $settings := .Values.gateway.settings -}}
{{- $asks := or .Values.auth.keys.existingSecret .Values.auth.jwt.issuer -}}
{{- if and (eq .Values.auth.required true) (not $asks) -}}
{{- fail "auth.required is true, but neither auth.keys.existingSecret nor auth.jwt.issuer is set: nobody could be let in." -}}
{{- end -}}
{{- with .Values.auth.jwt -}}
{{- if and .issuer (or (not .audience) (not (or .jwksUrl .existingSecret))) -}}
{{- fail "auth.jwt.issuer needs auth.jwt.audience, and auth.jwt.jwksUrl or auth.jwt.existingSecret." -}}
{{- end -}}
{{- if and .jwksUrl .existingSecret -}}
{{- fail "auth.jwt.jwksUrl and auth.jwt.existingSecret exclude each other." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.tls.clientCa.existingSecret (not .Values.tls.existingSecret) -}}
{{- fail "tls.clientCa.existingSecret needs tls.existingSecret." -}}
{{- end -}}
{{- if and .Values.tls.existingSecret (eq .Values.gateway.probes.readinessProtocol "grpc") -}}
{{- fail "gateway.probes.readinessProtocol: grpc does not work with tls.existingSecret, since that probe speaks no TLS." -}}
{{- end -}}
{{- $grace := int64 .Values.gateway.terminationGracePeriodSeconds -}}
{{- $needed := add (include "glimpse.gateway.drainSeconds" .) .Values.gateway.preStopSeconds -}}
{{- if and $grace (le $grace $needed) -}}
{{- fail (printf "gateway.terminationGracePeriodSeconds is %d, but preStopSeconds and drain_seconds take %d: requests would be cut off." $grace $needed) -}}
{{- end -}}
{{- if and (eq .Values.triton.mode "external") (not .Values.triton.external.address) -}}
{{- fail "triton.mode: external needs triton.external.address." -}}
{{- end -}}
{{- if and .Values.triton.autoscaling (ne .Values.triton.mode "deployment") -}}
{{- fail "triton.autoscaling needs triton.mode: deployment; a sidecar is scaled with the gateway." -}}
{{- end -}}
{{- $source := .Values.modelRepository.source -}}
{{- if and (has $source (list "s3" "gcs" "azure")) (not (has .Values.triton.mode (list "deployment" "sidecar"))) -}}
{{- fail (printf "modelRepository.source: %s is read by Triton alone; set triton.mode to deployment or sidecar." $source) -}}
{{- end -}}
{{- $kube := include "glimpse.kubeVersion" . -}}
{{- if and (eq $source "image") (semverCompare "<1.35.0-0" $kube) -}}
{{- fail (printf "modelRepository.source: image needs Kubernetes 1.35 (image volumes), this is %s; use initImage." $kube) -}}
{{- end -}}
{{- if and .Values.triton.gpu.dra.enabled (semverCompare "<1.34.0-0" $kube) -}}
{{- fail (printf "triton.gpu.dra.enabled needs Kubernetes 1.34 (resource.k8s.io/v1), this is %s; use triton.gpu.resource." $kube) -}}
{{- end -}}
{{- if and .Values.triton.gpu.dra.enabled (eq (int64 .Values.triton.gpu.count) 0) -}}
{{- fail "triton.gpu.dra.enabled needs triton.gpu.count of at least 1." -}}
{{- end -}}
{{- if and .Values.metrics.podMonitor.enabled (not (has .Values.triton.mode (list "deployment" "sidecar"))) -}}
{{- fail "metrics.podMonitor.enabled needs triton.mode: deployment or sidecar." -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled $asks (not .Values.metrics.open) (not .Values.metrics.serviceMonitor.authorization.existingSecret) -}}
{{- fail "metrics.serviceMonitor would be refused: give metrics.serviceMonitor.authorization.existingSecret (a key of the scope metrics), or set metrics.open." -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (include "glimpse.tls.mutual" .) -}}
{{- fail "metrics.serviceMonitor has no certificate of a client, which tls.clientCa asks for; set gateway.settings.tls.client_mode: optional, or write a monitor of your own (extraObjects)." -}}
{{- end -}}
{{- if and (or .Values.route.http.enabled .Values.route.grpc.enabled) (not .Values.route.parentRefs) -}}
{{- fail "route.http and route.grpc need route.parentRefs." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.httpHost) (not .Values.ingress.grpcHost) -}}
{{- fail "ingress.enabled needs ingress.httpHost or ingress.grpcHost." -}}
{{- end -}}
{{- end -}}
