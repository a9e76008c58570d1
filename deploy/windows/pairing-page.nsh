; The page with the code for Home Assistant, as text and for a camera. steps.py keeps the pairing
; open beside this program and writes what is to be shown into a folder.

Var CodeLabel
Var CodePicture
Var CodeBitmap
Var PairingResult

Function PairingPage
    ${If} $Before == 1
    ${OrIfNot} ${FileExists} "$Config"
        Abort
    ${EndIf}
    !insertmacro MUI_HEADER_TEXT "$(TEXT_PAIRING)" "$(TEXT_PAIRING_WHY)"
    CreateDirectory "$PLUGINSDIR\pairing"
    Exec '"$INSTDIR\app\pythonw.exe" -I "$PLUGINSDIR\steps.py" "$LogFile" "$PLUGINSDIR\pairing\said.txt" pair "$PLUGINSDIR\pairing" "$Config"'
    nsDialogs::Create 1018
    Pop $Dialog
    ${NSD_CreateLabel} 0 0 55% 50u "$(TEXT_PAIRING_HELP)"
    Pop $0
    ${NSD_CreateLabel} 0 54u 55% 20u ""
    Pop $CodeLabel
    CreateFont $0 "$(^Font)" 20 700
    SendMessage $CodeLabel ${WM_SETFONT} $0 1
    ${NSD_CreateLabel} 0 80u 55% 50u "$(TEXT_PAIRING_BEGINS)"
    Pop $PairingResult
    ${NSD_CreateBitmap} 58% 0 42% 130u ""
    Pop $CodePicture
    StrCpy $CodeBitmap ""
    ${NSD_CreateTimer} LookAtPairing 500
    nsDialogs::Show
    ${NSD_FreeImage} $CodeBitmap
FunctionEnd

; Reads a line of UTF-16 that steps.py has written as a whole; empty where there is none.
!macro ReadLine FILE VARIABLE
    StrCpy ${VARIABLE} ""
    ClearErrors
    FileOpen $R9 "${FILE}" r
    ${IfNot} ${Errors}
        FileReadUTF16LE $R9 ${VARIABLE}
        FileClose $R9
    ${EndIf}
    ClearErrors
!macroend

Function LookAtPairing
    !insertmacro ReadLine "$PLUGINSDIR\pairing\said.txt" $0
    ${If} $0 != ""
        ${NSD_KillTimer} LookAtPairing
        ${NSD_SetText} $PairingResult "$0"
        Return
    ${EndIf}
    ${If} $CodeBitmap == ""
    ${AndIf} ${FileExists} "$PLUGINSDIR\pairing\code.txt"
        !insertmacro ReadLine "$PLUGINSDIR\pairing\code.txt" $0
        ${NSD_SetText} $CodeLabel "$0"
        ${NSD_SetBitmap} $CodePicture "$PLUGINSDIR\pairing\code.bmp" $CodeBitmap
        ${NSD_SetText} $PairingResult "$(TEXT_PAIRING_WAITS)"
    ${EndIf}
FunctionEnd

Function PairingPageLeave
    ${NSD_KillTimer} LookAtPairing
    ; The code is worth nothing once this page is left.
    FileOpen $R9 "$PLUGINSDIR\pairing\stop" w
    FileClose $R9
FunctionEnd
