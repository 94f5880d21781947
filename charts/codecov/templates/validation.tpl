{{/*
What a schema cannot say, since it compares values with each other. A release that the API server would refuse in part is refused here, before anything is migrated.
Helm renders templates from the end of the alphabet on, so this comes before those that take it for granted.
*/}}
{{- $services := .Values.services }}
{{- range $name, $service := $services }}
{{- with $service.autoscaling }}
{{- if lt (int .maximum) (int .minimum) }}
{{- fail (printf "services.%s.autoscaling.maximum: %d is below the minimum, %d -> raise the one or lower the other" $name (int .maximum) (int .minimum)) }}
{{- end }}
{{- end }}
{{- range $service.upstreams }}
{{- if not (hasKey $services .service) }}
{{- fail (printf "services.%s.upstreams: %s is no service -> there are: %s" $name .service (keys $services | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.schedule.entries }}
{{- $place := printf "schedule.entries.%s.minimum" .name }}
{{- range $name, $minimum := .minimum }}
{{- if not (hasKey $services $name) }}
{{- fail (printf "%s: %s is no service -> there are: %s" $place $name (keys $services | sortAlpha | join ", ")) }}
{{- end }}
{{- with (index $services $name).autoscaling }}
{{- if not .enabled }}
{{- fail (printf "%s.%s: its autoscaling is off -> set services.%s.autoscaling.enabled" $place $name $name) }}
{{- end }}
{{- if lt (int .maximum) (int $minimum) }}
{{- fail (printf "%s.%s: %d is above the maximum, %d -> lower it, or raise services.%s.autoscaling.maximum" $place $name (int $minimum) (int .maximum) $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $job := .Values.jobs }}
{{- if not (and (hasKey $services $job.service) (hasKey $.Values.slots $job.slot)) }}
{{- fail (printf "jobs.%s: needs one of `services` and one of `slots`, and has %s and %s" $name $job.service $job.slot) }}
{{- end }}
{{- end }}
{{- if not (include "codecov.entry" .) }}
{{- fail "services: requests come in nowhere -> say `entry: true` at one service" }}
{{- end }}
