// A yamux peer for interoperation tests, on hashicorp/yamux; what it does is told in ../README.md.
package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/yamux"
)

type peer struct {
	session *yamux.Session
	mutex   sync.Mutex
	signals map[string]chan string
}

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	check(err)
	authority, err := os.ReadFile(os.Args[3])
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{"tunnel/1"},
	})
	check(err)
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go run(connection, yamux.Server)
		}
	}()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		port := strings.TrimPrefix(lines.Text(), "dial ")
		connection, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{
			RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13, NextProtos: []string{"tunnel/1"},
		})
		check(err)
		go run(connection, yamux.Client)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func run(connection net.Conn, begin func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error)) {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	config.AcceptBacklog = 1024
	session, err := begin(connection, config)
	check(err)
	p := &peer{session: session, signals: map[string]chan string{}}
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go p.serve(stream)
	}
}

func (p *peer) signal(name string) chan string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.signals[name] == nil {
		p.signals[name] = make(chan string, 1)
	}
	return p.signals[name]
}

func (p *peer) serve(stream *yamux.Stream) {
	line := ""
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(stream, one); err != nil {
			return
		}
		if one[0] == '\n' {
			break
		}
		line += string(one)
	}
	words := strings.Fields(line)
	switch words[0] {
	case "echo":
		io.Copy(stream, stream)
		stream.Close()
	case "sink":
		fmt.Fprintln(stream, digest(stream))
		stream.Close()
	case "source":
		write(stream, words[1])
		stream.Close()
		io.Copy(io.Discard, stream)
	case "say": // end first, hear the rest
		write(stream, words[2])
		stream.Close()
		p.signal("told " + words[1]) <- digest(stream)
	case "wait":
		_, err := io.Copy(io.Discard, stream)
		if err != nil {
			p.signal("told " + words[1]) <- "reset"
		} else {
			p.signal("told " + words[1]) <- "end"
		}
	case "hold":
		<-p.signal("go " + words[1])
		fmt.Fprintln(stream, digest(stream))
		stream.Close()
	case "go":
		p.signal("go " + words[1]) <- ""
		stream.Close()
	case "told":
		fmt.Fprintln(stream, <-p.signal("told "+words[1]))
		stream.Close()
	case "ping":
		_, err := p.session.Ping()
		fmt.Fprintln(stream, err == nil)
		stream.Close()
	case "away":
		p.session.GoAway()
		fmt.Fprintln(stream, "said")
		io.Copy(stream, stream)
		stream.Close()
	case "open":
		fmt.Fprintln(stream, p.open(words[1]))
		stream.Close()
	default: // there is no way to reset a stream
		fmt.Fprintln(stream, "cannot")
		stream.Close()
	}
}

// The number of bytes until the end, and their SHA-256; how it ended when that is not well.
func digest(stream io.Reader) string {
	sum := sha256.New()
	count, err := io.Copy(sum, stream)
	if err != nil {
		return fmt.Sprintf("%d broken", count)
	}
	return fmt.Sprintf("%d %x", count, sum.Sum(nil))
}

func write(stream io.Writer, count string) {
	left, err := strconv.Atoi(count)
	check(err)
	block := make([]byte, 251*256)
	for i := range block {
		block[i] = byte(i % 251)
	}
	for left > 0 {
		part := block
		if left < len(part) {
			part = part[:left]
		}
		if _, err := stream.Write(part); err != nil {
			return
		}
		left -= len(part)
	}
}

// Open streams all at once, say something on each, end it, and count those on which exactly that came back.
func (p *peer) open(count string) string {
	wanted, err := strconv.Atoi(count)
	check(err)
	var group sync.WaitGroup
	good := make(chan bool, wanted)
	for i := 0; i < wanted; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			stream, err := p.session.OpenStream()
			if err != nil {
				return
			}
			said := fmt.Sprintf("stream %d of the peer\n", i)
			io.WriteString(stream, said)
			stream.Close()
			heard, err := io.ReadAll(stream)
			if err == nil && string(heard) == said {
				good <- true
			}
		}(i)
	}
	group.Wait()
	return fmt.Sprint(len(good))
}
