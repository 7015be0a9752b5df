%% The Erlang side: the phases of worker.py, on OTP's own supervisor. runs.py compiles, starts and watches it.
%% One module is both the supervisor's and the gen_server's callback, told apart by the argument of init/1.
-module(pool).
-export([main/1, init/1, start_process/1, start_server/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(CRASHES, 100).
-define(BATCH, 10).
-define(WARM_UP, 20).
-define(TERMINATED, 500).
-define(INTENSITY, 1000000).

main([Case, Count]) ->
    spawn(fun() ->
        process_flag(trap_exit, true),
        put(port, open_port({fd, 0, 1}, [{line, 1000}, binary, eof])),
        [mark(nothing, 1) || _ <- lists:seq(1, 5)],
        try
            run(list_to_atom(Case), list_to_integer(Count)),
            halt(0)
        catch Class:Reason:Stack ->
            io:format(standard_error, "~p~n", [{Class, Reason, Stack}]),
            halt(1)
        end
    end).

%% The end of a phase: tell, and wait until its figures have been taken.
mark(Phase, Count) ->
    Port = get(port),
    Bytes = erlang:memory(total),
    port_command(Port, io_lib:format("~s ~b ~b~n", [Phase, Count, Bytes])),
    receive
        {Port, {data, {eol, _}}} -> ok;
        {Port, eof} -> halt(1)
    end.

run(erl_spawn, Count) ->
    Pids = [spawn_link(fun idle/0) || _ <- lists:seq(1, Count)],
    mark(start, Count),
    [exit(Pid, shutdown) || Pid <- Pids],
    [receive {'EXIT', Pid, _} -> ok end || Pid <- Pids],
    mark(stop, Count);
run(erl_pool, Count) -> run_pool(start_process, Count);
run(erl_pool_server, Count) -> run_pool(start_server, Count);
run(erl_ordered_server, Count) ->
    {ok, Sup} = supervisor:start_link(?MODULE, {ordered, Count}),
    mark(start, Count),
    Add = fun(Id, Kind) -> supervisor:start_child(Sup, spec(Id, start_server, [Kind])) end,
    exercise(Sup, Count, fun(Number) -> {ok, _} = Add({more, Number}, idle), {more, Number} end,
             fun() -> {ok, _} = Add(fragile, fragile) end),
    stop(Sup, Count).

run_pool(Start, Count) ->
    {ok, Sup} = supervisor:start_link(?MODULE, {pool, Start}),
    mark(boot, 1),
    fill(Sup, Count),
    mark(start, Count),
    StartFragile = fun() -> {ok, _} = supervisor:start_child(Sup, [fragile]) end,
    exercise(Sup, Count, fun(_) -> {ok, Pid} = supervisor:start_child(Sup, [idle]), Pid end, StartFragile),
    storm(StartFragile, max(1, Count div 10)),
    stop(Sup, Count).

fill(_, 0) -> ok;
fill(Sup, Left) ->
    {ok, _} = supervisor:start_child(Sup, [idle]),
    fill(Sup, Left - 1).

exercise(Sup, Count, StartOne, StartFragile) ->
    Count = proplists:get_value(active, supervisor:count_children(Sup)),
    mark(counted, 1),
    supervisor:which_children(Sup),
    mark(which_children, Count),
    supervisor:count_children(Sup),
    mark(count_children, Count),
    More = [StartOne(Number) || Number <- lists:seq(1, ?TERMINATED)],
    mark(start_one, ?TERMINATED),
    [ok = supervisor:terminate_child(Sup, Child) || Child <- More],
    mark(terminate, ?TERMINATED),
    register(watcher, self()),
    StartFragile(),
    Fragile = receive {up, Pid} -> Pid end,
    Next = crash(Fragile, ?WARM_UP),
    mark(warm_up, ?WARM_UP),
    crash(Next, ?CRASHES),
    mark(crash, ?CRASHES).

stop(Sup, Count) ->
    ok = gen_server:stop(Sup, shutdown, infinity),
    mark(stop, Count).

%% Without reports: the log would drop most of them.
storm(StartFragile, Count) ->
    ok = logger:set_primary_config(level, none),
    [StartFragile() || _ <- lists:seq(1, Count)],
    Pids = [receive {up, Pid} -> Pid end || _ <- lists:seq(1, Count)],
    mark(before_storm, Count),
    [Pid ! crash || Pid <- Pids],
    [receive {up, _} -> ok end || _ <- Pids],
    mark(storm, Count).

%% The log is waited for now and then: it drops reports when 200 of them queue up, or on more than 500 in a second.
crash(Pid, 0) -> Pid;
crash(Pid, Times) ->
    Pid ! crash,
    receive {up, Next} -> ok end,
    case Times rem ?BATCH of
        1 -> ok = logger_std_h:filesync(default);
        _ -> ok
    end,
    crash(Next, Times - 1).

%% The children

start_process(idle) -> {ok, spawn_link(fun idle/0)};
start_process(fragile) -> {ok, spawn_link(fun() -> watcher ! {up, self()}, idle() end)}.

start_server(Kind) -> gen_server:start_link(?MODULE, {server, Kind}, []).

idle() -> receive crash -> error(crash) end.

init({server, idle}) -> {ok, idle};
init({server, fragile}) ->
    watcher ! {up, self()},
    {ok, fragile};
init({pool, Start}) ->
    {ok, {#{strategy => simple_one_for_one, intensity => ?INTENSITY, period => 5}, [spec(child, Start, [])]}};
init({ordered, Count}) ->
    Specs = [spec(Number, start_server, [idle]) || Number <- lists:seq(1, Count)],
    {ok, {#{strategy => one_for_one, intensity => ?INTENSITY, period => 5}, Specs}}.

spec(Id, Start, Arguments) -> #{id => Id, start => {?MODULE, Start, Arguments}}.

handle_call(_, _, State) -> {reply, ok, State}.
handle_cast(_, State) -> {noreply, State}.
handle_info(crash, _) -> error(crash).
