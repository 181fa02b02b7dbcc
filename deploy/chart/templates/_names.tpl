{{- define "threescale-backup.name" -}}
{{ .Values.nameOverride | default "threescale-backup" }}
{{- end }}

{{- /* What never changes between upgrades of a release. */}}
{{- define "threescale-backup.selectorLabels" -}}
app.kubernetes.io/name: threescale-backup
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "threescale-backup.labels" -}}
{{ include "threescale-backup.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "threescale-backup.podLabels" -}}
{{ include "threescale-backup.selectorLabels" . }}
{{- range $labels := list .Values.commonLabels .Values.podLabels }}
{{- with $labels }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "threescale-backup.backupAccount" -}}
{{ .Values.backup.serviceAccount.name | default (include "threescale-backup.name" .) }}
{{- end }}

{{- define "threescale-backup.restoreAccount" -}}
{{ .Values.restore.serviceAccount.name | default (printf "%s-restore" (include "threescale-backup.name" .)) }}
{{- end }}

{{- define "threescale-backup.rehearseAccount" -}}
{{ .Values.rehearse.serviceAccount.name | default (printf "%s-rehearse" (include "threescale-backup.name" .)) }}
{{- end }}

{{- /* By the version of the cluster: what renders without one knows no APIs. */}}
{{- define "threescale-backup.cronJobVersion" -}}
{{- if semverCompare ">=1.21.0-0" .Capabilities.KubeVersion.Version }}batch/v1{{ else }}batch/v1beta1{{ end }}
{{- end }}

{{- define "threescale-backup.isOpenShift" -}}
{{- if kindIs "bool" .Values.openshift }}
{{- if .Values.openshift }}yes{{ end }}
{{- else if .Capabilities.APIVersions.Has "security.openshift.io/v1" }}yes{{ end }}
{{- end }}

{{- define "threescale-backup.claim" -}}
{{ .Values.repository.volume.existingClaim | default (printf "%s-repository" (include "threescale-backup.name" .)) }}
{{- end }}

{{- /* Whether the repository's claim is there already and belongs to another release: it was kept when that was uninstalled. */}}
{{- define "threescale-backup.claimIsKept" -}}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace (include "threescale-backup.claim" .) }}
{{- if $claim }}
{{- $annotations := $claim.metadata.annotations | default dict }}
{{- if ne (get $annotations "meta.helm.sh/release-name") .Release.Name }}yes{{ end }}
{{- end }}
{{- end }}
