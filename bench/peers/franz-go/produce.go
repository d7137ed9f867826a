package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// When to write: those of a millisecond are due at its beginning.
type pace struct {
	rate, notCounted int
	nanoseconds      []int64
}

func steady(rate, notCounted int) *pace {
	return &pace{rate: rate, notCounted: notCounted}
}

// How many records are due before this millisecond.
func (pace *pace) before(millisecond, records int) int {
	return min(millisecond*pace.rate/1000, records)
}

// Writes records, as ../clients/src/writing.rs says. It is idempotent and waits for all replicas by default; its other
// defaults are 10 ms of linger, batches of up to 1 MB and 50,000 records at a time.
func produce(broker, topic string, records int, codec, values string, pace *pace) {
	codecs := map[string]kgo.CompressionCodec{
		"none":   kgo.NoCompression(),
		"gzip":   kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(),
		"lz4":    kgo.Lz4Compression(),
		"zstd":   kgo.ZstdCompression(),
	}
	compression, known := codecs[codec]
	if !known {
		log.Fatal("no such codec: ", codec)
	}
	content, err := os.ReadFile(values)
	check(err)
	alerts := bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))
	ids := make([][]byte, len(alerts))
	random := rand.NewChaCha8([32]byte{})
	for number := range ids {
		ids[number] = make([]byte, 16)
		random.Read(ids[number])
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(broker),
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(compression))
	check(err)
	sender, format := []byte("observer-1234"), []byte("json")
	total, acknowledged := 0, 0
	send := func(number int, promise func(*kgo.Record, error)) {
		alert := alerts[number%len(alerts)]
		total += len(alert)
		client.Produce(context.Background(), &kgo.Record{
			Value: alert,
			Headers: []kgo.RecordHeader{
				{Key: "_id", Value: ids[number%len(ids)]},
				{Key: "_sender", Value: sender},
				{Key: "_format", Value: format},
			},
		}, promise)
	}
	var first time.Time
	// Promises are kept one after the other.
	if pace == nil {
		promise := func(_ *kgo.Record, err error) {
			check(err)
			acknowledged++
		}
		send(0, promise)
		check(client.Flush(context.Background()))
		first = time.Now()
		for number := 1; number < records; number++ {
			send(number, promise)
		}
	} else {
		started := time.Now()
		for millisecond, sent := 0, 0; sent < records; millisecond++ {
			due := started.Add(time.Duration(millisecond) * time.Millisecond)
			sleepUntil(due)
			promise := func(_ *kgo.Record, err error) {
				check(err)
				acknowledged++
				if acknowledged > pace.notCounted {
					pace.nanoseconds = append(pace.nanoseconds, int64(time.Since(due)))
				}
			}
			for ; sent < pace.before(millisecond+1, records); sent++ {
				send(sent, promise)
			}
		}
	}
	check(client.Flush(context.Background()))
	seconds := time.Since(first).Seconds()
	if acknowledged != records {
		log.Fatal("not all was acknowledged")
	}
	fmt.Print(records, " ", total)
	if pace == nil {
		fmt.Printf(" %.6f", seconds)
	} else if len(pace.nanoseconds) > 0 {
		slices.Sort(pace.nanoseconds)
		last := len(pace.nanoseconds) - 1
		for _, at := range []int{last / 2, last * 99 / 100, last * 999 / 1000, last} {
			fmt.Printf(" %.1f", float64(pace.nanoseconds[at])/1e3)
		}
	}
	fmt.Println()
}

// Go's own timers end up to a millisecond late. Signals, which its scheduler uses, end this one early.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		time := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&time, nil)
	}
}
