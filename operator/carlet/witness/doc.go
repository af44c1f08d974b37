// Package witness hears what the makers of cars and their chargers say about where cars are, and tells the fleet's
// registry. It keeps no reading and no real id: a message is judged, its car's name is hashed, and both are dropped.
package witness
