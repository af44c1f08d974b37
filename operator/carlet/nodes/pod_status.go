package nodes

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"parkade.dev/carlet/fleet"
)

// ReasonNotOrdered is shown by a pod whose workload the cell is not, or not yet, ordered to hold.
const ReasonNotOrdered = "NotOrdered"

// podStatus is what a pod shows: Ready when at least one vehicle of the cell answers for the workload. Times of what
// did not change are kept, so that equal facts give equal bytes.
func podStatus(pod *corev1.Pod, fact *fleet.AssignmentFact, hostIP string, now time.Time) corev1.PodStatus {
	reason, message, serving := ReasonNotOrdered, "the cell is not ordered to hold this workload", false
	if fact != nil {
		reason, message, serving = fact.Reason, fact.Message, fact.Serving
	}
	status := corev1.PodStatus{
		Phase: corev1.PodPending, HostIP: hostIP, HostIPs: []corev1.HostIP{{IP: hostIP}},
		StartTime: pod.Status.StartTime, QOSClass: pod.Status.QOSClass,
	}
	if status.StartTime == nil {
		started := conditionTime(now)
		status.StartTime = &started
	}
	if serving || pod.Status.Phase == corev1.PodRunning { // a phase does not go back
		status.Phase = corev1.PodRunning
	}
	ready := corev1.ConditionFalse
	if serving {
		ready = corev1.ConditionTrue
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		status.Conditions = append(status.Conditions, podCondition(pod, kind, ready, reason, message, now))
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized} {
		status.Conditions = append(status.Conditions, podCondition(pod, kind, corev1.ConditionTrue, "", "", now))
	}
	for _, container := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(pod, container, serving, reason, message, now))
	}
	return status
}

func podCondition(pod *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string, now time.Time) corev1.PodCondition {
	condition := corev1.PodCondition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: conditionTime(now)}
	for _, before := range pod.Status.Conditions {
		if before.Type == kind && before.Status == status {
			condition.LastTransitionTime = before.LastTransitionTime
		}
	}
	return condition
}

func containerStatus(pod *corev1.Pod, container corev1.Container, serving bool, reason, message string, now time.Time) corev1.ContainerStatus {
	status := corev1.ContainerStatus{Name: container.Name, Image: container.Image, Ready: serving, Started: &serving}
	if !serving {
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
		return status
	}
	status.State.Running = &corev1.ContainerStateRunning{StartedAt: conditionTime(now)}
	for _, before := range pod.Status.ContainerStatuses {
		if before.Name == container.Name && before.State.Running != nil {
			status.State.Running = before.State.Running
		}
	}
	return status
}
