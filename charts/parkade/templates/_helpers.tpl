{{/* Labels of a component: (dict "root" $ "component" "router"). */}}
{{- define "parkade.labels" -}}
app.kubernetes.io/name: parkade
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* What selects a component's pods; never changes over releases. */}}
{{- define "parkade.selector" -}}
app.kubernetes.io/name: parkade
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "parkade.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Identity, pull secrets and the sandbox that every pod has. */}}
{{- define "parkade.pod" -}}
serviceAccountName: {{ .component }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false # the operator refuses environment variables PARKADE_* that are not settings
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{ include "parkade.selector" . | nindent 6 }}
{{- end }}

{{- define "parkade.sandbox" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "parkade.modelClaim" -}}
{{ .Values.modelStore.existingClaim | default "parkade-models" }}
{{- end }}

{{- define "parkade.natsUrl" -}}
{{- if .Values.nats.url -}}
{{ .Values.nats.url }}
{{- else -}}
tls://parkade-nats.{{ .Release.Namespace }}.svc:4222
{{- end -}}
{{- end }}
