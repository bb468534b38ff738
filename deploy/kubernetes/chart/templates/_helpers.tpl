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

{{- define "slicerhub.pages" -}}
services:
  - kind: Service
    name: slicerhub
    port: 8000
    passHostHeader: true
    serversTransport: slicerhub
    {{- if .Values.near }}
    # The cluster chooses: a controller on Traefik's own machine, if there is one.
    nativeLB: true
    {{- else if eq .Values.store "kubernetes" }}
    # What a person does is known to the others a moment later: so their next step goes to the same one.
    sticky:
      cookie:
        name: slicerhub-controller
        httpOnly: true
        sameSite: lax
    {{- end }}
{{- end }}
