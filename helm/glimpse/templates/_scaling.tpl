{{- /* Slow down, quick up: a pod that goes has streams to end, a queue that grows has people waiting. */ -}}
{{- define "glimpse.scaling.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 100, periodSeconds: 30}
    - {type: Pods, value: 2, periodSeconds: 30}
  selectPolicy: Max
scaleDown:
  stabilizationWindowSeconds: {{ int64 (default 300 .scaleDownSeconds) }}
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end -}}

{{- define "glimpse.hpa" -}}
{{- $scaling := .scaling -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "glimpse.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ .name }}
  minReplicas: {{ int64 (default 2 $scaling.minReplicas) }}
  maxReplicas: {{ int64 $scaling.maxReplicas }}
  metrics:
    {{- range (include "glimpse.scaling.signals" . | fromYaml).signals }}
    - type: Pods
      pods:
        metric:
          name: {{ .metric }}
        target:
          type: AverageValue
          averageValue: {{ .threshold | quote }}
    {{- end }}
    {{- with $scaling.cpuUtilization }}
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ int64 . }}
    {{- end }}
    {{- with $scaling.extraMetrics }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  behavior:
    {{- include "glimpse.scaling.behavior" $scaling | nindent 4 }}
{{- end -}}

{{- define "glimpse.keda" -}}
{{- $scaling := .scaling -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "glimpse.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    name: {{ .name }}
  minReplicaCount: {{ int64 (default 2 $scaling.minReplicas) }}
  maxReplicaCount: {{ int64 $scaling.maxReplicas }}
  pollingInterval: {{ int64 (default 15 $scaling.pollingInterval) }}
  # What is kept where Prometheus cannot be asked.
  fallback:
    failureThreshold: 3
    replicas: {{ int64 (default (default 2 $scaling.minReplicas) $scaling.fallbackReplicas) }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        {{- include "glimpse.scaling.behavior" $scaling | nindent 8 }}
  triggers:
    {{- $root := .root }}
    {{- $name := .name }}
    {{- range (include "glimpse.scaling.signals" . | fromYaml).signals }}
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ $scaling.serverAddress }}
        query: sum({{ .metric }}{namespace={{ $root.Release.Namespace | quote }},pod=~"{{ $name }}-[a-z0-9]+-[a-z0-9]+"})
        threshold: {{ .threshold | quote }}
      {{- with $scaling.authenticationRef }}
      authenticationRef:
        name: {{ . | quote }}
      {{- end }}
    {{- end }}
    {{- with $scaling.extraTriggers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* What says that a component has too much to do, for each pod. */ -}}
{{- define "glimpse.scaling.signals" -}}
{{- $settings := .root.Values.gateway.settings -}}
signals:
  {{- if eq .component "gateway" }}
  - metric: glimpse_queue_depth
    threshold: {{ default 2 .scaling.queueDepth }}
  - metric: glimpse_live_streams
    threshold: {{ default (max 1 (div (mul 7 (int64 $settings.live.max_streams)) 10)) .scaling.liveStreams }}
  {{- else }}
  - metric: nv_inference_pending_request_count
    threshold: {{ default 4 .scaling.pendingRequests }}
  {{- end }}
{{- end -}}
