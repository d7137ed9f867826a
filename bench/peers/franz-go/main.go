// Reads a topic from its beginning with franz-go, to be measured from outside, as ../src/consume does.
//
// Usage: franz-go BROKER TOPIC RECORDS
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	wanted, err := strconv.Atoi(os.Args[3])
	check(err)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(os.Args[1]),
		kgo.ConsumeTopics(os.Args[2]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(err)
	records, bytes, sum := 0, 0, 0
	for records < wanted {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		fetches := client.PollFetches(ctx)
		cancel()
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			for _, part := range [][]byte{record.Key, record.Value} {
				if len(part) > 0 {
					bytes += len(part)
					sum += int(part[len(part)-1])
				}
			}
			records++
		})
	}
	if sum == 0 {
		log.Fatal("nothing but zeros")
	}
	fmt.Println(records, bytes)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
