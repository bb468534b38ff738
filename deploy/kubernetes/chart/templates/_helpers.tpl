{{- define "slicerhub.labels" -}}
app.kubernetes.io/name: slicerhub
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "slicerhub.config" -}}
{{ .Values.config | default (.Files.Get "slicerhub.toml") }}
{{- end }}
