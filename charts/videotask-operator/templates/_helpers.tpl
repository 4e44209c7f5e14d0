{{/* Name of an object of this release: <release>-<part>. */}}
{{- define "videotask.name" -}}
{{- printf "%s-%s" (.root.Release.Name | trunc 40 | trimSuffix "-") .part -}}
{{- end -}}

{{/* Name of an object without a namespace: two releases of one name in two namespaces must not meet. */}}
{{- define "videotask.clusterName" -}}
{{- printf "%s-%s-%s" .root.Release.Namespace (.root.Release.Name | trunc 40 | trimSuffix "-") .part -}}
{{- end -}}

{{/* Labels by which a workload finds its own pods; they never change. */}}
{{- define "videotask.selector" -}}
app.kubernetes.io/name: videotask-operator
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "videotask.labels" -}}
{{ include "videotask.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: videotask
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* The watched namespaces as a JSON list. */}}
{{- define "videotask.namespaces" -}}
{{- .Values.namespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end -}}

{{/* An image reference; images.registry is put before references whose first part names no registry. */}}
{{- define "videotask.image" -}}
{{- $first := first (splitList "/" .reference) -}}
{{- $named := and (contains "/" .reference) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if or $named (not .root.Values.images.registry) -}}
{{- .reference -}}
{{- else -}}
{{- printf "%s/%s" (trimSuffix "/" .root.Values.images.registry) .reference -}}
{{- end -}}
{{- end -}}

{{/* Name of the Secret whose key "url" is the database's address. */}}
{{- define "videotask.databaseSecret" -}}
{{- if .Values.postgresql.external.secretName -}}
{{- .Values.postgresql.external.secretName -}}
{{- else if .Values.postgresql.embedded.existingSecret -}}
{{- .Values.postgresql.embedded.existingSecret -}}
{{- else -}}
{{- include "videotask.name" (dict "root" . "part" "postgresql") -}}
{{- end -}}
{{- end -}}

{{/* The mutating policy's API version where it is to be installed, else nothing. */}}
{{- define "videotask.stampVersion" -}}
{{- $group := "admissionregistration.k8s.io" -}}
{{- $apis := .Capabilities.APIVersions -}}
{{- if ne .Values.approvals.stamp "off" -}}
{{- if $apis.Has (printf "%s/v1/MutatingAdmissionPolicy" $group) -}}
{{- printf "%s/v1" $group -}}
{{- else if $apis.Has (printf "%s/v1beta1/MutatingAdmissionPolicy" $group) -}}
{{- printf "%s/v1beta1" $group -}}
{{- else if eq .Values.approvals.stamp "on" -}}
{{- fail "approvals.stamp is on, but this cluster serves no MutatingAdmissionPolicy (v1 or v1beta1): switch the API on, or set approvals.stamp to auto or off" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the "restricted" pod security standard asks of a container, and a read-only root. */}}
{{- define "videotask.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Mistakes that no schema sees. */}}
{{- define "videotask.check" -}}
{{- if and .Values.postgresql.external.secretName .Values.postgresql.embedded.enabled -}}
{{- fail "postgresql: both an external database and the embedded one are asked for; set postgresql.embedded.enabled=false" -}}
{{- end -}}
{{- if and (not .Values.postgresql.external.secretName) (not .Values.postgresql.embedded.enabled) -}}
{{- fail "postgresql: neither an external database nor the embedded one is given; set postgresql.external.secretName or postgresql.embedded.enabled=true" -}}
{{- end -}}
{{- end -}}
