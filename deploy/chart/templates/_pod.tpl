{{- /* A step: (dict "root" $ "name" … "args" list "writes" bool, "env" list of more variables, or none). */}}
{{- define "threescale-backup.container" -}}
{{- $values := .root.Values -}}
{{- $s3 := $values.repository.s3 -}}
- name: {{ .name }}
  {{- if $values.image.digest }}
  image: "{{ $values.image.repository }}@{{ $values.image.digest }}"
  {{- else }}
  image: "{{ $values.image.repository }}:{{ $values.image.tag | default .root.Chart.AppVersion }}"
  {{- end }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  args:
    {{- range .args }}
    - {{ . | quote }}
    {{- end }}
  env:
    {{- if $s3.url }}
    - {name: THREESCALE_BACKUP_REPOSITORY_URL, value: {{ $s3.url | quote }}}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_REGION, value: {{ $s3.region | quote }}}
    {{- if $s3.endpoint }}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_ENDPOINT, value: {{ $s3.endpoint | quote }}}
    {{- end }}
    {{- if or $s3.caSecret.name $s3.caConfigMap.name }}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_CA_FILE, value: /repository-ca/ca.crt}
    {{- end }}
    {{- if eq $s3.credentials "keys" }}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_ACCESS_KEY_ID_FILE, value: /secret/access-key-id}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_SECRET_ACCESS_KEY_FILE, value: /secret/secret-access-key}
    {{- else }}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_CREDENTIALS, value: {{ $s3.credentials }}}
    {{- end }}
    {{- else }}
    - {name: THREESCALE_BACKUP_REPOSITORY_URL, value: /repository}
    {{- end }}
    - {name: THREESCALE_BACKUP_REPOSITORY_PASSWORD_FILE, value: /secret/password}
    - {name: THREESCALE_BACKUP_PLATFORM_KIND, value: kubernetes}
    {{- if $values.systemStorage.claim }}
    - {name: THREESCALE_BACKUP_SYSTEM_STORAGE_PATH, value: /system-storage}
    {{- end }}
    {{- with .env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  volumeMounts:
    {{- if not $s3.url }}
    - {name: repository, mountPath: /repository}
    {{- else if or $s3.caSecret.name $s3.caConfigMap.name }}
    - {name: repository-ca, mountPath: /repository-ca, readOnly: true}
    {{- end }}
    - {name: secret, mountPath: /secret, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- if $values.systemStorage.claim }}
    - {name: system-storage, mountPath: /system-storage{{ if not .writes }}, readOnly: true{{ end }}}
    {{- end }}
    {{- with $values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "threescale-backup.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- if .Values.podSecurityContext }}
{{ toYaml .Values.podSecurityContext }}
{{- else if not (include "threescale-backup.isOpenShift" .) }}
fsGroup: 65532
# Else every mount changes the group of every file first.
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}

{{- /* All of a pod but its containers and its account. */}}
{{- define "threescale-backup.around" -}}
{{- $s3 := .Values.repository.s3 -}}
restartPolicy: Never
securityContext:
  {{- include "threescale-backup.podSecurityContext" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  {{- if not $s3.url }}
  - {name: repository, persistentVolumeClaim: {claimName: {{ include "threescale-backup.claim" . }}}}
  {{- else if $s3.caSecret.name }}
  - {name: repository-ca, secret: {secretName: {{ $s3.caSecret.name }}, items: [{key: {{ $s3.caSecret.key | quote }}, path: ca.crt}]}}
  {{- else if $s3.caConfigMap.name }}
  - {name: repository-ca, configMap: {name: {{ $s3.caConfigMap.name }}, items: [{key: {{ $s3.caConfigMap.key | quote }}, path: ca.crt}]}}
  {{- end }}
  - {name: secret, secret: {secretName: {{ .Values.repository.existingSecret }}}}
  - {name: tmp, emptyDir: {}}
  {{- if .Values.systemStorage.claim }}
  - {name: system-storage, persistentVolumeClaim: {claimName: {{ .Values.systemStorage.claim }}}}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "threescale-backup.podMetadata" -}}
labels:
  {{- include "threescale-backup.podLabels" . | nindent 2 }}
{{- with .Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "threescale-backup.timeZone" -}}
{{- if .Values.backup.timeZone -}}
{{- if semverCompare "<1.25.0-0" .Capabilities.KubeVersion.Version }}
{{- fail "backup.timeZone needs Kubernetes 1.25 or newer: leave it out, and write the schedules in the controller's own zone" }}
{{- end -}}
timeZone: {{ .Values.backup.timeZone | quote }}
{{- end }}
{{- end }}
