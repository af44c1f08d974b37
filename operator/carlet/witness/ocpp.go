package witness

import (
	"encoding/json"
	"errors"
	"strconv"

	"parkade.dev/carlet/fleet"
)

// transaction is what is read of an OCPP 2.0.1 or 2.1 TransactionEventRequest.
type transaction struct {
	EventType     string  `json:"eventType"` // Started, Updated, Ended
	Timestamp     instant `json:"timestamp"`
	TriggerReason string  `json:"triggerReason"`
	EVSE          *struct {
		ID int `json:"id"`
	} `json:"evse"`
	IDToken *struct {
		IDToken string `json:"idToken"`
	} `json:"idToken"`
	Info struct {
		TransactionID string `json:"transactionId"`
		ChargingState string `json:"chargingState"`
		StoppedReason string `json:"stoppedReason"`
	} `json:"transactionInfo"`
}

// readTransaction reads the request alone, or the OCPP-J call that it came in: [2, id, "TransactionEvent", request]. Another
// call is nil.
func readTransaction(text []byte) (*transaction, error) {
	var call []json.RawMessage
	if json.Unmarshal(text, &call) == nil {
		var kind int
		var action string
		if len(call) != 4 || json.Unmarshal(call[0], &kind) != nil || json.Unmarshal(call[2], &action) != nil {
			return nil, errors.New("not a call of OCPP-J")
		}
		if kind != 2 || action != "TransactionEvent" {
			return nil, nil
		}
		text = call[3]
	}
	var event transaction
	if err := json.Unmarshal(text, &event); err != nil {
		return nil, err
	}
	if event.EventType == "" || event.Info.TransactionID == "" {
		return nil, errors.New("not a TransactionEventRequest: eventType or transactionId is missing")
	}
	return &event, nil
}

// claim judges an event of a session; before is the claim of the session's last one, which holds on while an event, such as a
// reading of the meter, does not mention the state. A session that ends while the car is still plugged in may have ended
// for many reasons; it says only that nobody looks any more.
func (t *transaction) claim(before fleet.Claim) fleet.Claim {
	ended := t.EventType == "Ended"
	drawn := t.Info.StoppedReason == "EVDisconnected" || t.TriggerReason == "EVDeparted" ||
		t.TriggerReason == "EVCommunicationLost" && (ended || t.Info.ChargingState == "Idle")
	switch {
	case drawn && t.EventType != "Started":
		return fleet.Departed
	case ended:
		return fleet.Unplugged
	}
	switch t.Info.ChargingState {
	case "EVConnected", "Charging", "SuspendedEV", "SuspendedEVSE":
		return fleet.PluggedIn
	case "Idle":
		return fleet.Unplugged
	}
	if before == fleet.PluggedIn {
		return before
	}
	return fleet.Nothing
}

// tokens are the names of who authorised the session, none if nobody did: the name that `carlet fleet name` gave, and the
// token itself, for those who authorise cars by their ids.
func (t *transaction) tokens() []string {
	if t.IDToken == nil || t.IDToken.IDToken == "" {
		return nil
	}
	return []string{TokenName(t.IDToken.IDToken), t.IDToken.IDToken}
}

// place is the name of the car whose place it is; none if the event does not say where it is.
func (t *transaction) place(station string) []string {
	if t.EVSE == nil {
		return nil
	}
	return []string{PlaceName(station + "/" + strconv.Itoa(t.EVSE.ID))}
}

// TokenName is the name of a car that authorises itself by an OCPP idToken.
func TokenName(token string) string { return "token:" + token }

// PlaceName is the name of the car that has a place of its own: <charging station>/<evse id>.
func PlaceName(place string) string { return "evse:" + place }
