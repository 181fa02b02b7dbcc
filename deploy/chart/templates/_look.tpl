{{- /* What looks on a schedule of its own and changes nothing: (dict "root" $ "what" COMMAND "look" VALUES), with "account" and "env" where
     they are others. */}}
{{- define "threescale-backup.look" -}}
{{- $what := .what -}}
{{- $look := .look -}}
{{- $root := .root -}}
apiVersion: {{ include "threescale-backup.cronJobVersion" $root }}
kind: CronJob
metadata:
  name: {{ include "threescale-backup.name" $root }}-{{ $what }}
  labels:
    {{- include "threescale-backup.labels" $root | nindent 4 }}
spec:
  schedule: {{ $look.schedule | quote }}
  {{- with include "threescale-backup.timeZone" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  suspend: {{ $root.Values.backup.suspend }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {{ $root.Values.backup.startingDeadlineSeconds | int64 }}
  successfulJobsHistoryLimit: {{ $root.Values.backup.successfulJobsHistoryLimit }}
  failedJobsHistoryLimit: {{ $root.Values.backup.failedJobsHistoryLimit }}
  jobTemplate:
    metadata:
      labels:
        {{- include "threescale-backup.labels" $root | nindent 8 }}
    spec:
      backoffLimit: {{ $root.Values.backup.backoffLimit }}
      activeDeadlineSeconds: {{ $look.activeDeadlineSeconds | int64 }}
      ttlSecondsAfterFinished: {{ $root.Values.backup.ttlSecondsAfterFinished | int64 }}
      template:
        metadata:
          {{- include "threescale-backup.podMetadata" $root | nindent 10 }}
        spec:
          serviceAccountName: {{ .account | default (include "threescale-backup.backupAccount" $root) }}
          terminationGracePeriodSeconds: {{ $root.Values.backup.terminationGracePeriodSeconds }}
          containers:
            {{- include "threescale-backup.container" (dict "root" $root "name" "threescale-backup" "args" (concat (list $what) $look.args) "writes" false "env" .env) | nindent 12 }}
          {{- include "threescale-backup.around" $root | nindent 10 }}
{{- end }}
