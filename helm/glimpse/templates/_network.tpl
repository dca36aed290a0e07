{{- define "glimpse.network.dns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          {{- toYaml .Values.networkPolicy.dnsNamespace | nindent 10 }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{- define "glimpse.network.monitoring" -}}
- from:
    - namespaceSelector:
        matchLabels:
          {{- toYaml .root.Values.networkPolicy.monitoringNamespace | nindent 10 }}
  ports:
    - {port: {{ .port }}, protocol: TCP}
{{- end -}}

{{- /* An address of somebody else's cannot be named by a policy, so its port is opened. */ -}}
{{- define "glimpse.network.url" -}}
{{- $parts := urlParse . -}}
{{- $port := ternary "80" "443" (eq $parts.scheme "http") -}}
{{- with regexFind ":[0-9]+$" $parts.host }}{{ $port = trimPrefix ":" . }}{{ end -}}
- ports:
    - {port: {{ $port }}, protocol: TCP}
{{- end -}}

{{- define "glimpse.network.external" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.triton.external.address -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (trim .)) -}}
{{- end -}}
- ports:
    {{- range uniq $ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.triton.external.peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
