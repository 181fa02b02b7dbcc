{{- /* An account and its rules: (dict "root" $ "name" … "values" of the account "rules" file). */}}
{{- define "threescale-backup.account" -}}
{{- if .values.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  labels:
    {{- include "threescale-backup.labels" .root | nindent 4 }}
  {{- with .values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if .root.Values.rbac.create }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  labels:
    {{- include "threescale-backup.labels" .root | nindent 4 }}
rules:
  {{- .root.Files.Get .rules | nindent 2 }}
  {{- if .root.Values.systemStorage.bucketRole }}
  {{- .root.Files.Get "files/rules-bucket-role.yaml" | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "threescale-backup.labels" .root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }}}
subjects:
  - {kind: ServiceAccount, name: {{ .name }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}
{{- end }}
