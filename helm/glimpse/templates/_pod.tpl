{{- /* Names of nodes, taints and the like, from the values of a component. */ -}}
{{- define "glimpse.scheduling" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- if kindIs "invalid" .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "glimpse.selectorLabels" $ | nindent 8 }}
  {{- end }}
{{- else if .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "glimpse.pod" -}}
serviceAccountName: {{ include "glimpse.serviceAccountName" (dict "account" .values.serviceAccount "name" .name) | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{- /* The sleep of the kubelet is on by default from 1.30; before, the image's own command sleeps. */ -}}
{{- define "glimpse.preStop" -}}
{{- if gt (int64 .seconds) 0 -}}
lifecycle:
  preStop:
    {{- if semverCompare ">=1.30.0-0" (include "glimpse.kubeVersion" .root) }}
    sleep:
      seconds: {{ int64 .seconds }}
    {{- else }}
    exec:
      command: [sleep, {{ int64 .seconds | quote }}]
    {{- end }}
{{- end -}}
{{- end -}}

{{- define "glimpse.models.mounted" -}}
{{- if has .Values.modelRepository.source (list "pvc" "image" "initImage") }}true{{ end -}}
{{- end -}}

{{- define "glimpse.models.claim" -}}
{{ default (printf "%s-models" (include "glimpse.fullname" .)) .Values.modelRepository.pvc.existingClaim }}
{{- end -}}

{{- define "glimpse.models.volume" -}}
{{- $models := .Values.modelRepository -}}
{{- if eq $models.source "pvc" -}}
- name: models
  persistentVolumeClaim:
    claimName: {{ include "glimpse.models.claim" . | quote }}
    readOnly: true
{{- else if eq $models.source "image" -}}
- name: models
  image:
    reference: {{ printf "%s@%s" $models.image.repository $models.image.digest | quote }}
    pullPolicy: {{ $models.image.pullPolicy }}
{{- else if eq $models.source "initImage" -}}
- name: models
  emptyDir:
    sizeLimit: {{ $models.initImage.sizeLimit | quote }}
{{- end -}}
{{- end -}}

{{- define "glimpse.models.mount" -}}
{{- if include "glimpse.models.mounted" . -}}
- name: models
  mountPath: /models
  readOnly: true
  {{- if eq .Values.modelRepository.source "pvc" }}
  {{- with .Values.modelRepository.pvc.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
  {{- else if eq .Values.modelRepository.source "image" }}
  {{- with .Values.modelRepository.image.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "glimpse.models.init" -}}
{{- if eq .Values.modelRepository.source "initImage" -}}
{{- with .Values.modelRepository.initImage -}}
- name: models
  image: {{ printf "%s@%s" .repository .digest | quote }}
  imagePullPolicy: {{ .pullPolicy }}
  command: [cp, -R, {{ printf "%s/." (trimSuffix "/" .path) | quote }}, /models/]
  securityContext:
    {{- toYaml $.Values.securityContext | nindent 4 }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  volumeMounts:
    - name: models
      mountPath: /models
{{- end -}}
{{- end -}}
{{- end -}}
