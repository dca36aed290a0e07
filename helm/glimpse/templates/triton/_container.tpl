{{- define "glimpse.triton.repository" -}}
{{- $models := .Values.modelRepository -}}
{{- if has $models.source (list "s3" "gcs" "azure") -}}
{{ (get $models $models.source).uri }}
{{- else if include "glimpse.models.mounted" . -}}
/models
{{- else -}}
{{ .Values.triton.embeddedPath }}
{{- end -}}
{{- end -}}

{{- define "glimpse.triton.graceSeconds" -}}
{{ add (int64 .Values.triton.preStopSeconds) (int64 .Values.triton.exitTimeoutSeconds) 15 }}
{{- end -}}

{{- define "glimpse.triton.resources" -}}
{{- $resources := deepCopy .Values.triton.resources -}}
{{- $gpu := .Values.triton.gpu -}}
{{- if and (gt (int64 $gpu.count) 0) (not $gpu.dra.enabled) -}}
{{- $limits := merge (dict $gpu.resource (int64 $gpu.count)) (default dict $resources.limits) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- else if $gpu.dra.enabled -}}
{{- $_ := set $resources "claims" (list (dict "name" "gpu")) -}}
{{- end -}}
{{ toYaml $resources }}
{{- end -}}

{{- define "glimpse.triton.claims" -}}
{{- if .Values.triton.gpu.dra.enabled -}}
resourceClaims:
  - name: gpu
    resourceClaimTemplateName: {{ include "glimpse.triton.fullname" . }}
{{- end -}}
{{- end -}}

{{- define "glimpse.triton.volumes" -}}
- name: triton-tmp
  emptyDir:
    sizeLimit: {{ .Values.triton.tmpSize | quote }}
- name: triton-shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.triton.shmSize | quote }}
{{- if and (eq .Values.modelRepository.source "gcs") .Values.modelRepository.gcs.existingSecret }}
- name: gcs
  secret:
    secretName: {{ .Values.modelRepository.gcs.existingSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- with .Values.triton.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "glimpse.triton.container" -}}
{{- $models := .Values.modelRepository -}}
name: triton
image: {{ include "glimpse.image" (dict "root" . "image" .Values.triton.image) | quote }}
imagePullPolicy: {{ .Values.triton.image.pullPolicy }}
command: [tritonserver]
args:
  - {{ printf "--model-repository=%s" (include "glimpse.triton.repository" .) | quote }}
  - --model-control-mode=none
  - --disable-auto-complete-config
  # One model that does not load takes neither the server nor its readiness down; the gateway asks for those that it needs.
  - --exit-on-error=false
  - --strict-readiness=false
  - --http-port=8000
  - --grpc-port=8001
  - --metrics-port=8002
  - --allow-metrics=true
  - --exit-timeout-secs={{ int64 .Values.triton.exitTimeoutSeconds }}
  # Memory of answered requests that is kept for reuse, in requests.
  - --grpc-infer-allocation-pool-size=16
  - --grpc-max-connection-age={{ int64 .Values.triton.maxConnectionAgeMs }}
  {{- with .Values.triton.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - name: ORT_DISABLE_TELEMETRY
    value: "1"
  # Tensors of requests are overwritten when their memory is given back.
  - name: GLIBC_TUNABLES
    value: glibc.malloc.perturb=165
  - name: HOME
    value: /tmp
  {{- if and (eq $models.source "gcs") $models.gcs.existingSecret }}
  - name: GOOGLE_APPLICATION_CREDENTIALS
    value: {{ printf "/etc/triton/gcs/%s" $models.gcs.key | quote }}
  {{- end }}
  {{- with .Values.triton.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if and (has $models.source (list "s3" "azure")) (get $models $models.source).existingSecret }}
envFrom:
  - secretRef:
      name: {{ (get $models $models.source).existingSecret | quote }}
{{- end }}
ports:
  - name: triton-http
    containerPort: 8000
  - name: triton-grpc
    containerPort: 8001
  - name: triton-metrics
    containerPort: 8002
startupProbe:
  httpGet: {path: /v2/health/live, port: triton-http}
  {{- toYaml .Values.triton.probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /v2/health/live, port: triton-http}
  {{- toYaml .Values.triton.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: /v2/health/ready, port: triton-http}
  {{- toYaml .Values.triton.probes.readiness | nindent 2 }}
{{- if eq .Values.triton.mode "deployment" }}
{{- with include "glimpse.preStop" (dict "root" . "seconds" .Values.triton.preStopSeconds) }}
{{ . }}
{{- end }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- include "glimpse.triton.resources" . | nindent 2 }}
volumeMounts:
  - name: triton-tmp
    mountPath: /tmp
  - name: triton-shm
    mountPath: /dev/shm
  {{- with include "glimpse.models.mount" . }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if and (eq $models.source "gcs") $models.gcs.existingSecret }}
  - name: gcs
    mountPath: /etc/triton/gcs
    readOnly: true
  {{- end }}
  {{- with .Values.triton.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
