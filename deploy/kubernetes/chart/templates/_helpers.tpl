{{- define "slicerhub.labels" -}}
app.kubernetes.io/name: slicerhub
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "slicerhub.sessionsAt" -}}
{{- $domain := .Values.sessionDomain | default (urlParse .Values.publicUrl).hostname | lower }}
{{- if and (ne $domain "path") (not (regexMatch "(^|\\.)[0-9]+$" $domain)) }}{{ $domain }}{{ end }}
{{- end }}

{{- define "slicerhub.config" -}}
{{ .Values.config | default (.Files.Get "slicerhub.toml") }}
{{- end }}
