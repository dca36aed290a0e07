{{- define "glimpse.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{ ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- /* The gateway has the plain name, since it is what others ask. */ -}}
{{- define "glimpse.triton.fullname" -}}
{{ include "glimpse.fullname" . }}-triton
{{- end -}}

{{- define "glimpse.triton.headless" -}}
{{ include "glimpse.triton.fullname" . }}-headless
{{- end -}}

{{- define "glimpse.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "glimpse.labels" -}}
{{- with .root.Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: glimpse
{{ include "glimpse.selectorLabels" . }}
{{- end -}}

{{- define "glimpse.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "glimpse.labels" . | nindent 2 }}
  {{- with .extraLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "glimpse.image" -}}
{{- $repository := ternary (printf "%s/%s" (trimSuffix "/" .image.registry) .image.repository) .image.repository (ne .image.registry "") -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{- define "glimpse.kubeVersion" -}}
{{ default .Capabilities.KubeVersion.Version .Values.kubeVersionOverride }}
{{- end -}}

{{- define "glimpse.serviceAccountName" -}}
{{- if .account.create -}}
{{ default .name .account.name }}
{{- else -}}
{{ default "default" .account.name }}
{{- end -}}
{{- end -}}
