{{/* Labels of a component: (dict "root" $ "component" "parkade-router"). */}}
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
{{- define "parkade.identity" -}}
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
{{- end }}

{{/* And where a component's pods go: (dict "root" $ "component" .. "values" .Values.router). */}}
{{- define "parkade.pod" -}}
{{ include "parkade.identity" . }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- $root := . }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{ include "parkade.selector" $root | nindent 6 }}
{{- end }}
{{- end }}

{{/* Labels, and the annotations asked for, of a component's pods. */}}
{{- define "parkade.podMetadata" -}}
labels: {{ include "parkade.labels" . | nindent 2 }}
{{- with .values.podAnnotations }}
annotations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "parkade.sandbox" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* One pod of several may go at a time; pods that are not ready hold up no drain of a node. */}}
{{- define "parkade.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{ include "parkade.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{ include "parkade.selector" . | nindent 6 }}
{{- end }}

{{/* Answers within two minutes of its start, or is started again; then within 30 s. */}}
{{- define "parkade.probes" -}}
startupProbe:
  httpGet: {path: {{ .alive | quote }}, port: {{ .port }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: {{ .alive | quote }}, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: {{ .ready | quote }}, port: {{ .port }}}
  periodSeconds: {{ .period | default 5 }}
  timeoutSeconds: 5
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

{{/* Host names and addresses of the certificate that all servers have in common. */}}
{{- define "parkade.names" -}}
{{- $names := list "localhost" "127.0.0.1" }}
{{- range $service := list "parkade-router" "carlet" "parkade-nats" }}
{{- range $suffix := list "" ".svc" ".svc.cluster.local" }}
{{- $names = append $names (printf "%s.%s%s" $service $.Release.Namespace $suffix) }}
{{- end }}
{{- $names = append $names $service }}
{{- end }}
{{- range list .Values.router.carsAdvertise .Values.carlet.modelsAdvertise }}
{{- with . }}
{{- $names = append $names (regexReplaceAll ":[0-9]+$" . "" | trimPrefix "[" | trimSuffix "]") }}
{{- end }}
{{- end }}
{{- concat $names .Values.secrets.names | uniq | join "," }}
{{- end }}

{{/* What a hook is for, and when it runs among the others; nothing of it stays. */}}
{{- define "parkade.hook" -}}
helm.sh/hook: {{ .on }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
