// franz-go, to be measured from outside.
//
// Usage: franz-go consume BROKER TOPIC RECORDS
//
//	franz-go produce BROKER TOPIC RECORDS CODEC VALUES [RATE NOT_COUNTED]
package main

import (
	"log"
	"os"
	"strconv"
)

func main() {
	arguments := os.Args[2:]
	switch os.Args[1] {
	case "consume":
		consume(arguments[0], arguments[1], number(arguments[2]))
	case "produce":
		var pace *pace
		if len(arguments) > 5 {
			pace = steady(number(arguments[5]), number(arguments[6]))
		}
		produce(arguments[0], arguments[1], number(arguments[2]), arguments[3], arguments[4], pace)
	default:
		log.Fatal("no such command: ", os.Args[1])
	}
}

func number(text string) int {
	number, err := strconv.Atoi(text)
	check(err)
	return number
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
