{{- define "threescale-backup.labels" -}}
app.kubernetes.io/name: threescale-backup
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "threescale-backup.cronJobVersion" -}}
{{- if .Capabilities.APIVersions.Has "batch/v1/CronJob" }}batch/v1{{ else }}batch/v1beta1{{ end }}
{{- end }}

{{- define "threescale-backup.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- if .Values.podSecurityContext }}
{{ toYaml .Values.podSecurityContext }}
{{- else if not (.Capabilities.APIVersions.Has "security.openshift.io/v1") }}
fsGroup: 65532
{{- end }}
{{- end }}

{{- /* A step: (dict "root" $ "name" … "args" list "writes" bool). */}}
{{- define "threescale-backup.container" -}}
{{- $values := .root.Values -}}
- name: {{ .name }}
  image: "{{ $values.image.repository }}:{{ $values.image.tag | default .root.Chart.AppVersion }}"
  imagePullPolicy: {{ $values.image.pullPolicy }}
  args:
    {{- range .args }}
    - {{ . | quote }}
    {{- end }}
  env:
    {{- if $values.repository.s3.url }}
    - {name: THREESCALE_BACKUP_REPOSITORY_URL, value: {{ $values.repository.s3.url | quote }}}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_REGION, value: {{ $values.repository.s3.region | quote }}}
    {{- if $values.repository.s3.endpoint }}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_ENDPOINT, value: {{ $values.repository.s3.endpoint | quote }}}
    {{- end }}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_ACCESS_KEY_ID_FILE, value: /secret/access-key-id}
    - {name: THREESCALE_BACKUP_REPOSITORY_S3_SECRET_ACCESS_KEY_FILE, value: /secret/secret-access-key}
    {{- else }}
    - {name: THREESCALE_BACKUP_REPOSITORY_URL, value: /repository}
    {{- end }}
    - {name: THREESCALE_BACKUP_REPOSITORY_PASSWORD_FILE, value: /secret/password}
    - {name: THREESCALE_BACKUP_PLATFORM_KIND, value: kubernetes}
    {{- if $values.systemStorage.claim }}
    - {name: THREESCALE_BACKUP_SYSTEM_STORAGE_PATH, value: /system-storage}
    {{- end }}
    {{- with $values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  volumeMounts:
    {{- if not $values.repository.s3.url }}
    - {name: repository, mountPath: /repository}
    {{- end }}
    - {name: secret, mountPath: /secret, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- if $values.systemStorage.claim }}
    - {name: system-storage, mountPath: /system-storage, readOnly: {{ not .writes }}}
    {{- end }}
{{- end }}

{{- define "threescale-backup.around" -}}
securityContext:
  {{- include "threescale-backup.podSecurityContext" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
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
  {{- if not .Values.repository.s3.url }}
  - {name: repository, persistentVolumeClaim: {claimName: {{ .Values.repository.volume.existingClaim | default "threescale-backup-repository" }}}}
  {{- end }}
  - {name: secret, secret: {secretName: {{ .Values.repository.existingSecret }}}}
  - {name: tmp, emptyDir: {}}
  {{- if .Values.systemStorage.claim }}
  - {name: system-storage, persistentVolumeClaim: {claimName: {{ .Values.systemStorage.claim }}}}
  {{- end }}
{{- end }}
