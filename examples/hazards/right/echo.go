// A right echo server in Go: a goroutine for each client.
//
//	echo [port]        prints the address that it listens on, and serves
//
// The listener has SO_REUSEADDR, and Accept tries again by itself after EINTR and ECONNABORTED.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"
)

func echo(client net.Conn) {
	defer client.Close()
	io.Copy(client, client) // an error says that the client has gone
}

func main() {
	port := "0"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	for {
		client, err := listener.Accept()
		if err != nil { // short of something: neither spin nor end
			log.Print(err)
			time.Sleep(time.Second)
			continue
		}
		go echo(client)
	}
}
